// Counts, a line every tenth of a second, for ever or up to its argument.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    long last = argc > 1 ? atol(argv[1]) : -1;
    for (long tick = 1; last < 0 || tick <= last; tick++) {
        printf("tick %ld\n", tick);
        fflush(stdout);
        struct timespec tenth = {.tv_nsec = 100 * 1000 * 1000};
        nanosleep(&tenth, NULL);
    }
    return 0;
}
