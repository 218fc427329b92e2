// Prints one line: who greets.
#include <stdio.h>

int main(int argc, char **argv) {
    printf("hello from %s\n", argc > 1 ? argv[1] : "berth");
    return 0;
}
