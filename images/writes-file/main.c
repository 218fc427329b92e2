// Writes a file and says whether that worked.
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "/data/out";
    FILE *file = fopen(path, "w");
    if (!file) {
        printf("refused: %s\n", errno == EROFS ? "read-only" : strerror(errno));
        return 1;
    }
    fputs("written by the guest\n", file);
    if (fclose(file)) {
        printf("refused: %s\n", strerror(errno));
        return 1;
    }
    printf("written\n");
    return 0;
}
