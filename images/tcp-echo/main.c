// Echoes what TCP clients send. WASI preview 1 has no bind: there the engine hands over the listening
// socket of the first exposed port as fd 3 (the LISTEN_FDS convention).
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#ifndef __wasi__
#include <netinet/in.h>
#endif

static int listener(void) {
#ifdef __wasi__
    return 3;
#else
    int on = 1, listening = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(7777)};
    if (listening < 0) {  // no IPv6 on this host
        struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(7777)};
        listening = socket(AF_INET, SOCK_STREAM, 0);
        setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        return bind(listening, (struct sockaddr *)&any4, sizeof any4) || listen(listening, 16) ? -1 : listening;
    }
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    return bind(listening, (struct sockaddr *)&any, sizeof any) || listen(listening, 16) ? -1 : listening;
#endif
}

int main(void) {
    int listening = listener();
    if (listening < 0) {
        perror("listen");
        return 1;
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int client = accept(listening, NULL, NULL);
        if (client < 0) {
            perror("accept");
            return 1;
        }
        char buffer[4096];
        for (;;) {
            ssize_t count = recv(client, buffer, sizeof buffer, 0);
            if (count <= 0 || send(client, buffer, (size_t)count, 0) != count) break;
        }
        close(client);
    }
}
