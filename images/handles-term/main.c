// Ends in its own way on SIGTERM where there are signals; under WASI it is the engine that ends it.
#include <stdio.h>
#include <unistd.h>
#ifndef __wasi__
#include <signal.h>
static volatile sig_atomic_t asked;
static void on_term(int signal) { asked = signal; }
#else
static const int asked = 0;
#endif

int main(void) {
#ifndef __wasi__
    struct sigaction action = {.sa_handler = on_term};
    sigaction(SIGTERM, &action, NULL);
#endif
    printf("ready\n");
    fflush(stdout);
    while (!asked) sleep(1000);
    printf("bye\n");
    return 7;
}
