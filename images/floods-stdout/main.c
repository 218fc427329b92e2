// Prints so many lines of 100 bytes, the newline included, as its argument says.
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    long lines = argc > 1 ? atol(argv[1]) : 1000;
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    for (long i = 0; i < lines; i++) printf("%099ld\n", i);
    return 0;
}
