package main // b
