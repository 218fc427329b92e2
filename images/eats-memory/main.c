// Allocates and touches memory until it fails or is killed; its argument bounds it, in MiB.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long bound = argc > 1 ? atol(argv[1]) : 4096;
    long held = 0;
    for (; held < bound; held++) {
        char *block = malloc(1 << 20);
        if (!block) {
            printf("refused after %ld MiB\n", held);
            return 12;
        }
        // One write a page, through a volatile pointer: otherwise the compiler sees that nobody reads it.
        for (long at = 0; at < 1 << 20; at += 4096) ((volatile char *)block)[at] = 1;
    }
    printf("held %ld MiB\n", held);
    return 0;
}
