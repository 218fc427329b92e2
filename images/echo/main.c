// Prints what it was given: arguments, one variable, whether it sees a terminal, and where it stands.
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("argument %d: %s\n", i, argv[i]);
    const char *greeting = getenv("GREETING");
    printf("GREETING: %s\n", greeting ? greeting : "(unset)");
    printf("terminal: %s\n", isatty(1) ? "yes" : "no");
    FILE *marker = fopen("marker", "r");  // relative: found only if the working directory is honoured
    char line[64] = "(none)";
    if (marker) {
        if (!fgets(line, sizeof line, marker)) line[0] = 0;
        fclose(marker);
    }
    printf("marker: %s\n", line);
    return 0;
}
