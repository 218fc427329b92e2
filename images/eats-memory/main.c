// Allocates and touches memory until it fails or is killed; its argument bounds it, in MiB.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    long bound = argc > 1 ? atol(argv[1]) : 4096;
    long held = 0;
    for (; held < bound; held++) {
        char *block = malloc(1 << 20);
        if (!block) {
            printf("refused after %ld MiB\n", held);
            return 12;
        }
        memset(block, 1, 1 << 20);
    }
    printf("held %ld MiB\n", held);
    return 0;
}
