// The floor: what the kernel alone costs for one container, without any engine.
//
//   floor ROOTFS WORK COUNT none|bridge|exec
//
// Prints the median in microseconds of: clone into new namespaces, overlay, the default mounts, masked
// paths, pivot_root, a seccomp filter of 350 rules, every cgroup v1 hierarchy with limits (or one cgroup
// v2 directory), execve of /bin/true, wait, and clean-up. `bridge` adds a veth pair on a bridge with an
// address and a default route. `exec` measures joining a running container instead. Root only.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 2000 };

static const char *rootfs, *work;
static char path[1024];

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what) {
    fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    _exit(99);
}

static const char *format(const char *pattern, ...) {
    va_list arguments;
    va_start(arguments, pattern);
    vsnprintf(path, sizeof path, pattern, arguments);
    va_end(arguments);
    return path;
}

static void put(const char *file, const char *text) {
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) die(file);
    close(fd);
}

static pid_t clone_into(unsigned long flags) {
    struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
    return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

// --- root file system ---------------------------------------------------------------------------

static char target[512];

static void make_directories(int i) {
    mkdir(format("%s/c%d", work, i), 0755);
    for (const char *const *name = (const char *const[]){"u", "w", "m", NULL}; *name; name++)
        mkdir(format("%s/c%d/%s", work, i, *name), 0755);
    snprintf(target, sizeof target, "%s/c%d/m", work, i);
}

static void remove_directories(int i) {
    rmdir(format("%s/c%d/w/work", work, i));
    for (const char *const *name = (const char *const[]){"u", "w", "m", "", NULL}; *name; name++)
        rmdir(format("%s/c%d/%s", work, i, *name));
}

static void mount_one(const char *type, const char *where, unsigned long flags, const char *options) {
    char to[600];
    snprintf(to, sizeof to, "%s/%s", target, where);
    if (mount(type, to, type, flags, options)) die(to);
}

static void prepare_root(int i) {
    char options[2048];
    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/c%d/u,workdir=%s/c%d/w", rootfs, work, i, work, i);
    mount_one("overlay", "", 0, options);
    mount_one("proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    mount_one("sysfs", "sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
    mount_one("tmpfs", "dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k");
    static const struct { const char *name; unsigned major, minor; } devices[] = {
        {"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
    for (size_t d = 0; d < sizeof devices / sizeof *devices; d++)
        if (mknod(format("%s/dev/%s", target, devices[d].name), S_IFCHR | 0666, makedev(devices[d].major, devices[d].minor)))
            die(path);
    static const char *const links[][2] = {{"/proc/self/fd", "fd"}, {"/proc/self/fd/0", "stdin"},
        {"/proc/self/fd/1", "stdout"}, {"/proc/self/fd/2", "stderr"}, {"pts/ptmx", "ptmx"}};
    for (size_t l = 0; l < sizeof links / sizeof *links; l++)
        if (symlink(links[l][0], format("%s/dev/%s", target, links[l][1]))) die(path);
    for (const char *const *name = (const char *const[]){"pts", "shm", "mqueue", NULL}; *name; name++)
        if (mkdir(format("%s/dev/%s", target, *name), 0755)) die(path);
    mount_one("devpts", "dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
    mount_one("tmpfs", "dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
    mount_one("mqueue", "dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    for (const char *const *name = (const char *const[]){"kcore", "keys", "timer_list", "latency_stats", "sched_debug", NULL}; *name; name++)
        mount("/dev/null", format("%s/proc/%s", target, *name), NULL, MS_BIND, NULL);
    for (const char *const *name = (const char *const[]){"proc/acpi", "proc/scsi", "sys/firmware", NULL}; *name; name++)
        mount("tmpfs", format("%s/%s", target, *name), "tmpfs", MS_RDONLY, "size=0k");
    for (const char *const *name = (const char *const[]){"bus", "fs", "irq", "sys", "sysrq-trigger", NULL}; *name; name++) {
        format("%s/proc/%s", target, *name);
        if (!mount(path, path, NULL, MS_BIND | MS_REC, NULL))
            mount(path, path, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
    }
    if (chdir(target) || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/")) die("pivot_root");
}

static void filter_calls(void) {
    static struct sock_filter rules[1024];
    unsigned short count = 0;
    rules[count++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0);
    for (int call = 0; call < 350; call++) {
        rules[count++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)call, 0, 1);
        rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    rules[count++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    struct sock_fprog program = {count, rules};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program)) die("seccomp");
}

// --- cgroups ------------------------------------------------------------------------------------

static const char *const hierarchies[] = {"pids", "memory", "cpu", "cpuacct", "cpuset", "devices", "freezer", "blkio", "systemd", NULL};

// Cgroups of a run that failed half way must not be in the next one's way.
static int own(int i) { return getpid() % 100000 * 1000 + i; }

static int present(const char *hierarchy) { return !access(format("/sys/fs/cgroup/%s/cgroup.procs", hierarchy), F_OK); }

static void make_cgroups(int i) {
    for (const char *const *h = hierarchies; *h; h++) {
        if (!present(*h)) continue;
        mkdir(format("/sys/fs/cgroup/%s/floor", *h), 0755);
        if (!strcmp(*h, "cpuset")) {
            put("/sys/fs/cgroup/cpuset/floor/cpuset.cpus", "0");
            put("/sys/fs/cgroup/cpuset/floor/cpuset.mems", "0");
        }
        if (mkdir(format("/sys/fs/cgroup/%s/floor/%d", *h, own(i)), 0755)) die(path);
        if (!strcmp(*h, "cpuset")) {
            put(format("/sys/fs/cgroup/cpuset/floor/%d/cpuset.cpus", own(i)), "0");
            put(format("/sys/fs/cgroup/cpuset/floor/%d/cpuset.mems", own(i)), "0");
        }
    }
    if (!present("devices")) return;
    put(format("/sys/fs/cgroup/devices/floor/%d/devices.deny", own(i)), "a");
    static const char *const rules[] = {"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm",
        "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm", NULL};
    for (const char *const *rule = rules; *rule; rule++) put(format("/sys/fs/cgroup/devices/floor/%d/devices.allow", own(i)), *rule);
}

static void join_cgroups(int i, pid_t pid) {
    char number[16];
    snprintf(number, sizeof number, "%d", pid);
    for (const char *const *h = hierarchies; *h; h++)
        if (present(*h)) put(format("/sys/fs/cgroup/%s/floor/%d/cgroup.procs", *h, own(i)), number);
}

static void remove_cgroups(int i) {
    for (const char *const *h = hierarchies; *h; h++)
        for (int tries = 0; tries < 1000 && rmdir(format("/sys/fs/cgroup/%s/floor/%d", *h, own(i))) && errno == EBUSY; tries++) usleep(100);
}

// --- network ------------------------------------------------------------------------------------

static char message[4096];
static struct nlmsghdr *header = (void *)message;
static int bridge;

static int netlink(void) { return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE); }

static void begin(int type, int flags, const void *body, size_t length) {
    memset(message, 0, sizeof message);
    header->nlmsg_type = (unsigned short)type;
    header->nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
    memcpy(NLMSG_DATA(header), body, length);
    header->nlmsg_len = NLMSG_LENGTH(length);
}

static struct rtattr *attribute(int type, const void *data, size_t length) {
    struct rtattr *at = (void *)(message + NLMSG_ALIGN(header->nlmsg_len));
    at->rta_type = (unsigned short)type;
    at->rta_len = (unsigned short)RTA_LENGTH(length);
    if (data) memcpy(RTA_DATA(at), data, length);
    header->nlmsg_len = NLMSG_ALIGN(header->nlmsg_len) + RTA_ALIGN(at->rta_len);
    return at;
}

static void end(struct rtattr *at) { at->rta_len = (unsigned short)(message + header->nlmsg_len - (char *)at); }

static void ask(int fd, const char *what) {
    char answer[8192];
    if (send(fd, message, header->nlmsg_len, 0) < 0 || recv(fd, answer, sizeof answer, 0) < 0) die(what);
    errno = -((struct nlmsgerr *)NLMSG_DATA((struct nlmsghdr *)answer))->error;
    if (errno) die(what);
}

static void give_address(int fd, int interface, const char *text) {
    struct ifaddrmsg body = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = (unsigned)interface};
    struct in_addr address;
    inet_aton(text, &address);
    begin(RTM_NEWADDR, NLM_F_CREATE, &body, sizeof body);
    attribute(IFA_LOCAL, &address, 4);
    attribute(IFA_ADDRESS, &address, 4);
    ask(fd, "address");
}

static void set_up(int fd, int interface) {
    struct ifinfomsg body = {.ifi_index = interface, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    begin(RTM_NEWLINK, 0, &body, sizeof body);
    ask(fd, "link up");
}

static void make_bridge(int fd) {
    struct ifinfomsg body = {0};
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    attribute(IFLA_IFNAME, "floorbr", 8);
    struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
    attribute(IFLA_INFO_KIND, "bridge", 6);
    end(info);
    ask(fd, "bridge");
    bridge = (int)if_nametoindex("floorbr");
    give_address(fd, bridge, "10.231.77.1");
    set_up(fd, bridge);
}

static void remove_bridge(int fd) {
    struct ifinfomsg body = {.ifi_index = bridge};
    begin(RTM_DELLINK, 0, &body, sizeof body);
    ask(fd, "bridge");
}

static void make_pair(int fd, int i, pid_t pid) {
    struct ifinfomsg body = {.ifi_flags = IFF_UP, .ifi_change = IFF_UP}, peer = {0};
    char name[16];  // Unlike every other run's: the kernel takes links down some time after their namespace.
    snprintf(name, sizeof name, "fl%d.%d", getpid() % 100000, i);
    begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    attribute(IFLA_IFNAME, name, strlen(name) + 1);
    attribute(IFLA_MASTER, &bridge, 4);
    struct rtattr *info = attribute(IFLA_LINKINFO, NULL, 0);
    attribute(IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(IFLA_INFO_DATA, NULL, 0);
    struct rtattr *other = attribute(VETH_INFO_PEER, &peer, sizeof peer);
    attribute(IFLA_IFNAME, "eth0", 5);
    attribute(IFLA_NET_NS_PID, &pid, 4);
    end(other);
    end(data);
    end(info);
    ask(fd, "veth");
}

static void configure_inside(void) {
    int fd = netlink(), interface = (int)if_nametoindex("eth0");
    set_up(fd, 1);
    give_address(fd, interface, "10.231.77.9");
    set_up(fd, interface);
    struct rtmsg body = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT,
        .rtm_scope = RT_SCOPE_UNIVERSE, .rtm_type = RTN_UNICAST};
    struct in_addr gateway;
    inet_aton("10.231.77.1", &gateway);
    begin(RTM_NEWROUTE, NLM_F_CREATE, &body, sizeof body);
    attribute(RTA_GATEWAY, &gateway, 4);
    ask(fd, "route");
    close(fd);
}

// --- one container ------------------------------------------------------------------------------

static double one(int fd, int i, int networked) {
    double begun = now();
    int gate[2], status;
    char byte;
    make_directories(i);
    make_cgroups(i);
    if (pipe2(gate, O_CLOEXEC)) die("pipe");
    pid_t pid = clone_into(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP);
    if (pid < 0) die("clone3");
    if (!pid) {
        close(gate[1]);
        prepare_root(i);
        sethostname("floor", 5);
        if (read(gate[0], &byte, 1) != 1) die("gate");
        if (networked) {
            configure_inside();
        } else {
            int inside = netlink();
            set_up(inside, 1);
            close(inside);
        }
        filter_calls();
        execl("/bin/true", "/bin/true", (char *)NULL);
        die("/bin/true");
    }
    close(gate[0]);
    join_cgroups(i, pid);
    if (networked) make_pair(fd, i, pid);
    if (write(gate[1], "x", 1) != 1) die("gate");
    if (waitpid(pid, &status, 0) < 0 || status) die("container");
    close(gate[1]);
    remove_cgroups(i);
    remove_directories(i);
    return now() - begun;
}

// Joining a container that sleeps, and running /bin/true in it.
static double join(pid_t guest) {
    static const char *const namespaces[] = {"pid", "ipc", "uts", "net", "cgroup", "mnt", NULL};
    double begun = now();
    int status;
    pid_t helper = fork();
    if (!helper) {
        int joined[8], count = 0;
        for (const char *const *n = namespaces; *n; n++) joined[count++] = open(format("/proc/%d/ns/%s", guest, *n), O_RDONLY | O_CLOEXEC);
        for (int n = 0; n < count; n++)
            if (setns(joined[n], 0)) die("setns");
        pid_t inner = fork();
        if (!inner) {
            filter_calls();
            execl("/bin/true", "/bin/true", (char *)NULL);
            die("/bin/true");
        }
        waitpid(inner, &status, 0);
        _exit(status != 0);
    }
    if (waitpid(helper, &status, 0) < 0 || status) die("exec");
    return now() - begun;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **arguments) {
    if (count != 5) return 2;
    rootfs = arguments[1];
    work = arguments[2];
    int runs = atoi(arguments[3]), networked = !strcmp(arguments[4], "bridge"), joining = !strcmp(arguments[4], "exec");
    static double took[MOST];
    if (runs < 1 || runs > MOST) return 2;
    int fd = netlink();
    pid_t guest = 0;
    if (networked) make_bridge(fd);
    if (joining) {
        make_directories(0);
        int ready[2];
        if (pipe2(ready, O_CLOEXEC)) die("pipe");
        guest = clone_into(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP);
        if (!guest) {
            prepare_root(0);
            if (write(ready[1], "x", 1) != 1) die("ready");
            for (;;) pause();
        }
        char byte;
        if (read(ready[0], &byte, 1) != 1) die("ready");
    }
    for (int i = 0; i < runs; i++) took[i] = joining ? join(guest) : one(fd, i, networked);
    if (joining) {
        kill(guest, SIGKILL);
        waitpid(guest, NULL, 0);
        remove_directories(0);
    }
    if (networked) remove_bridge(fd);
    for (const char *const *h = hierarchies; *h; h++) rmdir(format("/sys/fs/cgroup/%s/floor", *h));
    qsort(took, (size_t)runs, sizeof *took, ascending);
    printf("%.0f\n", took[runs / 2]);
    return 0;
}
