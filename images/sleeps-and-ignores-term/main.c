// Sleeps, and does not react to SIGTERM where there are signals.
#include <stdio.h>
#include <unistd.h>
#ifndef __wasi__
#include <signal.h>
#endif

int main(void) {
#ifndef __wasi__
    signal(SIGTERM, SIG_IGN);
#endif
    printf("ready\n");
    fflush(stdout);
    for (;;) sleep(1000);
}
