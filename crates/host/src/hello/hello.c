/* The native half of the built-in image `hello`: a static program of a few kilobytes without a C
 * library, so that nothing but a C compiler is needed to build it. It tells what it sees of its own
 * isolation (/proc/self/status) instead of claiming it. x86-64 and AArch64 Linux. */

typedef unsigned long word;

#if defined(__x86_64__)
enum { SYS_read = 0, SYS_write = 1, SYS_openat = 257, SYS_getpid = 39, SYS_uname = 63, SYS_exit_group = 231 };
static long call(long number, word a, word b, word c, word d)
{
	long result;
	register word r10 __asm__("r10") = d;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
			 : "rcx", "r11", "memory");
	return result;
}
__asm__(".globl _start\n_start:\n xor %ebp,%ebp\n and $-16,%rsp\n call begin\n hlt\n");
#elif defined(__aarch64__)
enum { SYS_read = 63, SYS_write = 64, SYS_openat = 56, SYS_getpid = 172, SYS_uname = 160, SYS_exit_group = 94 };
static long call(long number, word a, word b, word c, word d)
{
	register long x8 __asm__("x8") = number;
	register word x0 __asm__("x0") = a;
	register word x1 __asm__("x1") = b;
	register word x2 __asm__("x2") = c;
	register word x3 __asm__("x3") = d;
	__asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
	return (long)x0;
}
__asm__(".globl _start\n_start:\n mov x29,#0\n mov x30,#0\n bl begin\n brk #0\n");
#else
#error "hello.c knows x86-64 and AArch64"
#endif

static char output[4096];
static word used;

static void say(const char *text)
{
	while (*text && used < sizeof output)
		output[used++] = *text++;
}

static void say_number(word value)
{
	char digits[24];
	word at = sizeof digits;
	digits[--at] = 0;
	do
		digits[--at] = (char)('0' + value % 10);
	while (value /= 10);
	say(digits + at);
}

/* The text behind `NAME:` in /proc/self/status, ended in place; empty when it is not there. */
static char *status_field(char *status, const char *name)
{
	for (char *line = status; *line; line++) {
		if (line != status && line[-1] != '\n')
			continue;
		const char *wanted = name;
		char *found = line;
		while (*wanted && *found == *wanted)
			wanted++, found++;
		if (*wanted || *found != ':')
			continue;
		static char copies[4][40];
		static int next;
		char *copy = copies[next++ & 3];
		word length = 0;
		found++;
		while (*found == ' ' || *found == '\t')
			found++;
		while (*found && *found != '\n' && length < sizeof copies[0] - 1)
			copy[length++] = *found++;
		copy[length] = 0;
		return copy;
	}
	return "";
}

static int is(const char *text, const char *other)
{
	while (*text && *text == *other)
		text++, other++;
	return *text == *other;
}

static void say_isolation(void)
{
	static char status[4096];
	static struct { char field[6][65]; } names;
	long file = call(SYS_openat, (word)-100, (word)"/proc/self/status", 0, 0);
	word length = 0;
	while (file >= 0 && length < sizeof status - 1) {
		long got = call(SYS_read, (word)file, (word)status + length, sizeof status - 1 - length, 0);
		if (got <= 0)
			break;
		length += (word)got;
	}
	status[length] = 0;
	char *seccomp = status_field(status, "Seccomp");
	char *capabilities = status_field(status, "CapEff");
	char *privileges = status_field(status, "NoNewPrivs");

	say("What isolates it, as it sees it from inside:\n");
	say("  processes     it is number ");
	say_number((word)call(SYS_getpid, 0, 0, 0, 0));
	say(" of its own process namespace\n");
	if (call(SYS_uname, (word)&names, 0, 0, 0) == 0) {
		say("  host name     ");
		say(names.field[1]);
		say("\n");
	}
	say("  system calls  ");
	say(is(seccomp, "2") ? "filtered (seccomp)\n" : is(seccomp, "0") ? "not filtered\n" : "unknown\n");
	say("  capabilities  ");
	say(*capabilities ? capabilities : "unknown");
	say("\n  privileges    ");
	say(is(privileges, "1") ? "can never grow (no_new_privs)\n" : "may grow by set-uid programs\n");
	say("  and           its own files, mounts, network, IPC and control group\n");
}

__attribute__((used)) void begin(void)
{
	say("Hello from berth!\n\n"
	    "This is a native program. The runtime is \"linux\": the kernel runs it directly.\n\n");
	say_isolation();
	say("\nTry next:\n"
	    "  berth run --platform wasi/wasm hello        the same image as WebAssembly\n"
	    "  berth run -it --rm busybox sh               a shell in a container\n"
	    "  berth run -d --name web -p 8080:80 nginx    a service in the background\n"
	    "  berth ps -a                                 what runs and what ran\n");
	word written = 0;
	while (written < used) {
		long result = call(SYS_write, 1, (word)output + written, used - written, 0);
		if (result <= 0)
			break;
		written += (word)result;
	}
	call(SYS_exit_group, written < used, 0, 0, 0);
	for (;;)
		;
}
