// Copies standard input to standard output, then says on standard error how much that was.
#include <stdio.h>

int main(void) {
    static char buffer[1 << 16];
    size_t total = 0, count;
    while ((count = fread(buffer, 1, sizeof buffer, stdin)) > 0) {
        fwrite(buffer, 1, count, stdout);
        fflush(stdout);
        total += count;
    }
    fprintf(stderr, "read %zu bytes\n", total);
    return 0;
}
