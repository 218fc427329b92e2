// A Go guest: arguments, environment, files, goroutines, and a status of its own.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("go got", os.Args[1:])
	fmt.Println("GREETING=" + os.Getenv("GREETING"))
	if err := os.WriteFile("/data/from-go", []byte("go was here"), 0o644); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	text, _ := os.ReadFile("/data/from-go")
	fmt.Println("read back:", string(text))
	sum := make(chan int)
	go func() { sum <- 40 }()
	go func() { sum <- 2 }()
	fmt.Println("goroutines:", <-sum+<-sum)
	if len(os.Args) > 1 && os.Args[1] == "fail" {
		os.Exit(5)
	}
}
