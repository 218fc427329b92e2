#!/usr/bin/env python3
"""Measures berth against the floor program and the peers installed here, in alternation, and prints ratios.

  cargo xtask bench [--runs N] [--only NAME,…] [--peer NAME=COMMAND]…

Peers are podman and docker where they are on PATH and work, and whatever --peer names: any program that
understands docker's command line. Absolute times depend on the machine and on what else it does; only ratios of one run are compared. Root only.
"""
import argparse
import base64
import contextlib
import glob
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time

parser = argparse.ArgumentParser()
parser.add_argument("--berth", required=True)
parser.add_argument("--runs", type=int, default=30)
parser.add_argument("--only", default="")
parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND")
options = parser.parse_args()

HERE = os.path.dirname(os.path.abspath(__file__))
PLACE = tempfile.mkdtemp(prefix="berth-bench-", dir="/var/tmp")
PEERS = {}
BROKEN = []
NULL = open(os.devnull, "r+b")
BERTH = [options.berth, "--root", f"{PLACE}/data", "--runroot", f"{PLACE}/run"]


def call(command, **more):
    return subprocess.run(command, stdin=NULL, stdout=NULL, stderr=subprocess.PIPE, check=True, **more)


def read(command):
    return subprocess.run(command, stdin=NULL, stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def milliseconds(action):
    begun = time.perf_counter()
    action()
    return (time.perf_counter() - begun) * 1e3


def alternate(actions, runs):
    """Runs the named actions in turn and returns the median of each, in milliseconds."""
    if any(name in PEERS for name in actions):
        runs = min(runs, 10)  # they take hundreds of milliseconds
    taken = {name: [] for name in actions}
    for turn in range(-2, runs):
        order = list(actions) if turn % 2 else list(reversed(actions))
        for name in order:
            value = actions[name]()
            if turn >= 0:
                taken[name].append(value)
    return {name: statistics.median(values) for name, values in taken.items()}


def measured(command):
    """Runs a command: its wall time in milliseconds, its processor time in milliseconds, its peak memory in MB.

    execve(2) counts the memory of whoever calls it into ru_maxrss, so a small interpreter does, not this one.
    """
    script = ("import resource,subprocess,sys,time\n"
              "begun=time.perf_counter()\n"
              "status=subprocess.run(sys.argv[1:],stdin=subprocess.DEVNULL,stdout=subprocess.DEVNULL).returncode\n"
              "wall=time.perf_counter()-begun\n"
              "used=resource.getrusage(resource.RUSAGE_CHILDREN)\n"
              "print(wall*1e3,(used.ru_utime+used.ru_stime)*1e3,used.ru_maxrss/1024)\n"
              "sys.exit(status)")
    return tuple(map(float, read([sys.executable, "-I", "-S", "-c", script] + command).split()))


def demand(what, value, limit):
    """Holds a figure to what was promised; the run fails at its end if one is above it."""
    print(f"  {what}: {value:.2f}, promised {limit}" + ("" if value <= limit else "   BROKEN"), flush=True)
    if value > limit:
        BROKEN.append(f"{what}: {value:.2f} is more than {limit}")


def demand_ratio(medians, of, limit):
    """Holds berth's time to a share of another's, where that one was measured."""
    if of in medians:
        demand(f"of {of}'s time", medians["berth"] / medians[of], limit)


def report(title, medians, ours="berth", unit="ms"):
    print(f"\n{title}")
    for name, value in medians.items():
        ratio = "" if name == ours else f"   berth is {medians[ours] / value:5.2f} x"
        print(f"  {name:<28}{value:9.2f} {unit}{ratio}", flush=True)


# --- what everything runs on ----------------------------------------------------------------------

def prepare():
    rootfs = f"{PLACE}/rootfs"
    for folder in ("bin", "dev", "proc", "sys", "tmp", "etc"):
        os.makedirs(f"{rootfs}/{folder}")
    shutil.copy("/bin/busybox", f"{rootfs}/bin/busybox")
    for applet in ("true", "sh", "sleep", "yes", "head", "cat"):
        os.symlink("busybox", f"{rootfs}/bin/{applet}")
    with tarfile.open(f"{PLACE}/busybox.tar", "w") as tar:
        tar.add(rootfs, arcname=".")
    call(BERTH + ["import", f"{PLACE}/busybox.tar", "busybox"])
    call(["cc", "-O2", "-o", f"{PLACE}/floor", f"{HERE}/floor.c"])
    os.makedirs(f"{PLACE}/work")


def peers():
    """The other engines that work here, each with the image the measurements use."""
    asked = dict(peer.split("=", 1) for peer in options.peer)
    commands = {name: name.split() for name in ("podman", "docker") if shutil.which(name)}
    commands.update({name: command.split() for name, command in asked.items()})
    for name, command in commands.items():
        try:
            call(command + ["version"])
            call(command + ["import", f"{PLACE}/busybox.tar", "busybox-bench"])
            call(command + ["run", "--rm", "--network", "none", "busybox-bench", "true"])
            PEERS[name] = command
        except (OSError, subprocess.CalledProcessError) as error:
            said = (getattr(error, "stderr", b"") or str(error).encode()).decode().strip().splitlines()
            print(f"{name} does not work here: {said[-1] if said else error}")


def with_peers(actions, *arguments):
    """Adds the same command of every peer."""
    words = ["busybox-bench" if word == "busybox" else word for word in arguments]
    for name, command in PEERS.items():
        actions[name] = lambda command=command: milliseconds(lambda: call(command + words))
    return actions


def engines():
    """Every engine: its name, its command, and what it calls the image."""
    yield "berth", BERTH, "busybox"
    for name, command in PEERS.items():
        yield name, command, "busybox-bench"


def floor(kind):
    """One measurement of the floor program, in milliseconds."""
    return lambda: float(read([f"{PLACE}/floor", f"{PLACE}/rootfs", f"{PLACE}/work", "1", kind])) / 1e3


def berth(*arguments):
    return lambda: milliseconds(lambda: call(BERTH + list(arguments)))


def crun_bundle(*command):
    """A bundle for crun with the very runtime-spec that berth gives its own runtime, or None."""
    if not shutil.which("crun"):
        return None
    bundle = f"{PLACE}/bundle-{command[0]}"
    if not os.path.exists(bundle):
        os.makedirs(bundle)
        identity = read(BERTH + ["create", "--network", "none", "busybox", *command])
        with open(f"{PLACE}/data/containers/{identity}/config.json") as file:
            config = json.load(file)
        call(BERTH + ["rm", identity])
        config["ociVersion"] = "1.0.2"  # what older ones accept; nothing newer is in it
        config["root"] = {"path": f"{PLACE}/rootfs"}
        config["linux"]["cgroupsPath"] = "/berth-bench"
        config["process"].pop("rlimits", None)
        config["process"]["user"].pop("username", None)
        # Its binds are files of the container just removed.
        config["mounts"] = [mount for mount in config["mounts"] if mount.get("type") != "bind"]
        config.pop("annotations", None)
        with open(f"{bundle}/config.json", "w") as file:
            json.dump(config, file)
    return bundle


def crun(script, bundle, runs):
    """Times `script` (which uses $i) under crun, in a mount namespace where hybrid cgroups are hidden."""
    loop = (
        "umount /sys/fs/cgroup/unified 2>/dev/null; cd $1; "
        + script[0] + "; i=0; while [ $i -lt $2 ]; do a=${EPOCHREALTIME/./}; "
        + script[1] + " </dev/null >/dev/null || exit 1; b=${EPOCHREALTIME/./}; echo $((b-a)); i=$((i+1)); done; "
        + script[2])
    lines = read(["unshare", "-m", "bash", "-c", loop, "bash", bundle, str(runs)]).split()
    return [int(line) / 1e3 for line in lines]


def with_crun(actions, script, *command):
    """Adds crun to the actions where it works here."""
    bundle = crun_bundle(*command)
    try:
        if bundle:
            crun(script, bundle, 2)
            actions["crun"] = lambda: crun(script, bundle, 1)[0]
    except subprocess.CalledProcessError as error:
        print(f"crun does not run here: {error.stderr}")
    return actions


# --- the measurements -----------------------------------------------------------------------------

CRUN_RUN = (":", "crun run bench-$$-$i", ":")
CRUN_EXEC = (
    "crun run -d --pid-file pid bench-$$ </dev/null >/dev/null 2>&1 || exit 1",
    "crun exec bench-$$ true",
    "crun delete -f bench-$$",
)


def run_none():
    actions = {"berth": berth("run", "--rm", "--network", "none", "busybox", "true"), "floor": floor("none")}
    with_crun(actions, CRUN_RUN, "true")
    with_peers(actions, "run", "--rm", "--network", "none", "busybox", "true")
    medians = alternate(actions, options.runs)
    report("run --rm --network none busybox true", medians)
    demand_ratio(medians, "floor", 2)
    demand_ratio(medians, "crun", 0.6)


def run_bridge():
    actions = {"berth": berth("run", "--rm", "busybox", "true"), "floor": floor("bridge")}
    with_crun(actions, CRUN_RUN, "true")
    with_peers(actions, "run", "--rm", "busybox", "true")
    medians = alternate(actions, options.runs)
    report("run --rm busybox true (default bridge)", medians)
    demand_ratio(medians, "floor", 2)
    demand_ratio(medians, "crun", 1)


def run_wasm():
    actions = {
        "berth": berth("run", "--rm", "--network", "none", "--platform", "wasi/wasm", "hello"),
        "native hello": berth("run", "--rm", "--network", "none", "hello"),
    }
    for action in actions.values():
        action()
    medians = alternate(actions, options.runs)
    report("run --rm of a cached wasm hello", medians)
    demand("ms more than native", medians["berth"] - medians["native hello"], 2)


def exec_true():
    with sleeping():
        actions = {"berth": berth("exec", "bench", "true"), "floor": floor("exec")}
        with_crun(actions, CRUN_EXEC, "sleep", "1000")
        with_peers(actions, "exec", "bench", "true")
        medians = alternate(actions, options.runs)
        report("exec true", medians)
        demand_ratio(medians, "crun", 1)


@contextlib.contextmanager
def sleeping():
    """A container named bench that sleeps, in every engine."""
    try:
        for _, command, image in engines():
            call(command + ["run", "-d", "--network", "none", "--name", "bench", image, "sleep", "1000"])
        yield
    finally:
        for _, command, _ in engines():
            subprocess.run(command + ["rm", "-f", "bench"], stdin=NULL, stdout=NULL, stderr=NULL)


def life():
    """create, start, stop and rm of one container, each on its own."""
    steps = ["create", "start", "stop", "rm"]
    taken = {step: {} for step in steps}
    for name, command, image in engines():
        runs = min(options.runs, 10) if PEERS else options.runs
        values = {step: [] for step in steps}
        for _ in range(runs):
            words = {
                "create": ["create", "--network", "none", "--name", "bench", image, "sleep", "1000"],
                "start": ["start", "bench"], "stop": ["stop", "-t", "0", "bench"], "rm": ["rm", "bench"],
            }
            for step in steps:
                values[step].append(milliseconds(lambda: call(command + words[step])))
        for step in steps:
            taken[step][name] = statistics.median(values[step])
    for step in steps:
        report(f"{step} of one container", taken[step])


def reading():
    """What only looks: inspect, images, logs."""
    lines = "i=0; while [ $i -lt 100000 ]; do echo line $i; i=$((i+1)); done"
    try:
        for _, command, image in engines():
            call(command + ["run", "--network", "none", "--name", "bench", image, "sh", "-c", lines])
        for title, words in (("inspect of one container", ["inspect", "bench"]), ("images", ["images"]),
                             ("logs of 100 000 lines", ["logs", "bench"]),
                             ("logs --tail 10 of them", ["logs", "--tail", "10", "bench"])):
            report(title, alternate(with_peers({"berth": berth(*words)}, *words), options.runs))
    finally:
        for _, command, _ in engines():
            subprocess.run(command + ["rm", "-f", "bench"], stdin=NULL, stdout=NULL, stderr=NULL)


def ps_many():
    count = 200
    try:
        for _, command, image in engines():
            for i in range(count):
                call(command + ["create", "--network", "none", "--name", f"bench-{i}", image, "true"])
        actions = {"berth": berth("ps", "-a"), "/bin/true": lambda: milliseconds(lambda: call(["/bin/true"]))}
        medians = alternate(with_peers(actions, "ps", "-a"), options.runs)
        report(f"ps -a with {count} containers", medians)
        demand_ratio(medians, "/bin/true", 10)
    finally:
        for _, command, _ in engines():
            names = [f"bench-{i}" for i in range(count)]
            subprocess.run(command + ["rm", "-f"] + names, stdin=NULL, stdout=NULL, stderr=NULL)


def images_many():
    """`images` with 500 images, which differ in a label."""
    count = 500
    podman = podman_alone()
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        archive = f"{folder}/images.tar"
        write_images(archive, count)
        call(BERTH + ["load", "-q", "-i", archive])
        actions = {"berth": berth("images"), "berth images -q": berth("images", "-q")}
        if podman:
            write_images(archive, 1)
            call(podman + ["load", "-q", "-i", archive])
            multiply_images(f"{PLACE}/podman/overlay-images", count)
        medians = alternate(actions, min(options.runs, 10))
        if podman:
            medians["podman"] = patiently(podman + ["images"])
        report(f"images with {count} images", medians)
        demand_ratio(medians, "podman", 0.2)
    ids = set(read(BERTH + ["images", "-q", "--filter", "label=bench"]).split())
    call(BERTH + ["rmi", "-f"] + sorted(ids))


def patiently(command, limit=30):
    """One run, broken off after so many seconds: Podman 4 compares every image with every other one."""
    try:
        return milliseconds(lambda: call(command, timeout=limit))
    except subprocess.TimeoutExpired:
        print(f"\n{command[0]} had not answered after {limit} s, which count")
        return limit * 1e3


def multiply_images(folder, count):
    """Makes Podman's store hold its only image so many times, differing in a label: it loads one in a second."""
    def key(name):
        return "=" + base64.b64encode(name.encode()).decode() if not name.isalnum() else name
    with open(f"{folder}/images.json") as file:
        known, = json.load(file)
    def stored(name):
        with open(f"{folder}/{known['id']}/{key(name)}", "rb") as file:
            return file.read()
    config, manifest = json.loads(stored("sha256:" + known["id"])), json.loads(stored("manifest"))
    records = [known]
    for number in range(1, count):
        config["config"]["Labels"] = {"bench": str(number)}
        content = json.dumps(config).encode()
        identity = hashlib.sha256(content).hexdigest()
        manifest["config"].update(digest="sha256:" + identity, size=len(content))
        described = json.dumps(manifest).encode()
        digest = "sha256:" + hashlib.sha256(described).hexdigest()
        data = {"sha256:" + identity: content, "manifest": described, "manifest-" + digest: described}
        os.makedirs(f"{folder}/{identity}")
        for name, value in data.items():
            with open(f"{folder}/{identity}/{key(name)}", "wb") as file:
                file.write(value)
        records.append({**known, "id": identity, "digest": digest, "names": [f"localhost/bench:{number}"],
                        "big-data-names": list(data), "big-data-sizes": {name: len(value) for name, value in data.items()},
                        "big-data-digests": {name: "sha256:" + hashlib.sha256(value).hexdigest() for name, value in data.items()}})
    with open(f"{folder}/images.json", "w") as file:
        json.dump(records, file)


def podman_alone(store="podman"):
    """Podman on a store of its own, where it is installed; the one of --peer rather than the one on PATH."""
    asked = dict(peer.split("=", 1) for peer in options.peer)
    if "podman" not in asked and not shutil.which("podman"):
        return None
    command = asked.get("podman", "podman").split()
    return command + ["--root", f"{PLACE}/{store}", "--runroot", f"{PLACE}/{store}-run"]


def write_images(path, count):
    """A docker-archive of `count` images of one small layer each."""
    import hashlib
    import io
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        info = tarfile.TarInfo("file")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"text"))
    layer = layer.getvalue()
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    items = []
    with tarfile.open(path, "w") as tar:
        def add(name, content):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        add("layer.tar", layer)
        for number in range(count):
            config = json.dumps({
                "architecture": "amd64", "os": "linux", "created": "2026-01-01T00:00:00Z",
                "config": {"Labels": {"bench": str(number)}},
                "rootfs": {"type": "layers", "diff_ids": [diff]},
            }).encode()
            name = hashlib.sha256(config).hexdigest() + ".json"
            add(name, config)
            items.append({"Config": name, "RepoTags": [f"localhost/bench:{number}"], "Layers": ["layer.tar"]})
        add("manifest.json", json.dumps(items).encode())


def archives():
    """`save` and `load` of an image of six layers, 300 MB of files that half compress."""
    podman = podman_alone()
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        source = f"{folder}/image.tar"
        write_large(source)
        engines = {"berth": BERTH, **({"podman": podman} if podman else {})}
        loading, saving = {}, {}
        for name, command in engines.items():
            times = {"load": [], "save": []}
            for _ in range(3):
                times["load"].append(milliseconds(lambda: call(command + ["load", "-q", "-i", source])))
                target = f"{folder}/{name}.tar"
                words = ["save", "-o", target, "localhost/large:1"]
                times["save"].append(milliseconds(lambda: call(command + words)))
                os.remove(target)
                call(command + ["rmi", "-f", "localhost/large:1"])
            loading[name] = statistics.median(times["load"])
            saving[name] = statistics.median(times["save"])
        for title, medians in (("load of 300 MB in 6 layers", loading), ("save of the same", saving)):
            report(title, medians)
            demand_ratio(medians, "podman", 0.5)


def write_large(path):
    import hashlib
    import io
    import random
    made = random.Random(1)
    layers = []
    for number in range(6):
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode="w") as tar:
            for part in range(200):
                content = made.randbytes(128 << 10) + bytes(128 << 10)
                info = tarfile.TarInfo(f"layer{number}/file{part}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        layers.append(layer.getvalue())
    diffs = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": diffs}}).encode()
    name = hashlib.sha256(config).hexdigest() + ".json"
    manifest = [{"Config": name, "RepoTags": ["localhost/large:1"],
                 "Layers": [f"{number}.tar" for number in range(6)]}]
    with tarfile.open(path, "w") as tar:
        files = {name: config, "manifest.json": json.dumps(manifest).encode(),
                 **{f"{number}.tar": layer for number, layer in enumerate(layers)}}
        for file, content in files.items():
            info = tarfile.TarInfo(file)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def proportional(pid):
    for line in open(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def memory():
    count = 100
    for i in range(count):
        call(BERTH + ["run", "-d", "--network", "none", "--name", f"bench-{i}", "busybox", "sleep", "1000"])
    monitors = []
    for entry in os.listdir("/proc"):
        try:
            line = open(f"/proc/{entry}/cmdline", "rb").read() if entry.isdigit() else b""
        except OSError:
            continue
        if b"berth-monitor" in line and PLACE.encode() in line:
            monitors.append(proportional(entry))
    call(BERTH + ["rm", "-f"] + [f"bench-{i}" for i in range(count)])
    print(f"\nsupervision of {count} sleeping containers, by {len(monitors)} processes")
    demand("kB PSS each", sum(monitors) / count, 300)


def throughput():
    flood = "yes " + "x" * 99 + " | head -c 200000000"
    target = f"{PLACE}/flood"
    actions = {
        "berth": berth("run", "--rm", "--network", "none", "busybox", "sh", "-c", flood),
        "into a file": lambda: milliseconds(lambda: call(["/bin/busybox", "sh", "-c", f"{flood} > {target}"])),
        "detached, then wait": detached(flood),
    }
    medians = alternate(actions, 3)
    report("200 MB through attach and log", {name: 200e3 / value for name, value in medians.items()}, unit="MB/s")
    demand_ratio(medians, "into a file", 1 / 0.7)


def detached(flood):
    def action():
        def both():
            call(BERTH + ["run", "-d", "--network", "none", "--name", "bench", "busybox", "sh", "-c", flood])
            call(BERTH + ["wait", "bench"])
        taken = milliseconds(both)
        call(BERTH + ["rm", "-f", "bench"])
        return taken
    return action


def parallel():
    def fifty():
        running = [subprocess.Popen(BERTH + ["run", "-d", "--name", f"bench-{i}", "busybox", "sleep", "1000"],
                                    stdin=NULL, stdout=NULL) for i in range(50)]
        failed = sum(child.wait() != 0 for child in running)
        if failed:
            sys.exit(f"{failed} of 50 parallel starts failed")
    taken = milliseconds(fifty)
    call(BERTH + ["rm", "-f"] + [f"bench-{i}" for i in range(50)])
    one = statistics.median(one_detached() for _ in range(10))
    print(f"\n50 parallel run -d\n  {taken:.0f} ms; one alone {one:.1f} ms")
    demand("times one alone", taken / one, 50)
    report("20 x run --rm at once", {name: at_once(command, image) for name, command, image in engines()})


def at_once(command, image):
    def twenty():
        words = command + ["run", "--rm", "--network", "none", image, "true"]
        for child in [subprocess.Popen(words, stdin=NULL, stdout=NULL, stderr=NULL) for _ in range(20)]:
            if child.wait():
                sys.exit(f"{words} failed")
    return statistics.median(milliseconds(twenty) for _ in range(3))


def write_context(steps):
    """A context whose Dockerfile has so many steps, half of them commands."""
    context = f"{PLACE}/context"
    os.makedirs(context, exist_ok=True)
    lines = ["FROM busybox-bench"]
    for number in range(steps // 2):
        with open(f"{context}/{number}", "w") as file:
            file.write(f"{number}\n")
        lines += [f"COPY {number} /{number}", "RUN true"]
    with open(f"{context}/Dockerfile", "w") as file:
        file.write("\n".join(lines) + "\n")
    return context


def build():
    """Ten steps made anew, the same out of the cache, and a context of very many files."""
    context = write_context(10)
    call(BERTH + ["tag", "busybox", "busybox-bench"])
    words = ["build", "-q", "--network", "none"]
    every = {"berth": BERTH, **PEERS}
    processor = {name: [] for name in every}

    def anew(name):
        wall, used, _ = measured(every[name] + words + ["--no-cache", context])
        processor[name].append(used)
        return wall

    actions = {name: lambda name=name: anew(name) for name in every}
    actions["one run --rm"] = berth("run", "--rm", "--network", "none", "busybox", "true")
    medians = alternate(actions, options.runs)
    report("build, 10 steps (5 COPY, 5 RUN true), --no-cache", medians)
    demand_ratio(medians, "one run --rm", 8)
    demand_ratio(medians, "docker", 0.1)
    demand_ratio(medians, "podman", 0.02)
    if "podman" in processor:
        used = {name: statistics.median(values) for name, values in processor.items()}
        demand("of podman's processor time", used["berth"] / used["podman"], 0.02)
    cached = {name: lambda command=command: milliseconds(lambda: call(command + words + [context]))
              for name, command in every.items()}
    medians = alternate(cached, options.runs)
    report("the same, fully cached", medians)
    demand_ratio(medians, "docker", 0.1)
    many_files(words)


def many_files(words):
    """A context of 100,000 files, 1 GB, that is known from the build before."""
    many = f"{PLACE}/many"
    for folder in range(100):
        os.makedirs(f"{many}/{folder}")
        for number in range(1000):
            with open(f"{many}/{folder}/{number}", "w") as file:
                file.write(f"{folder} {number}\n".ljust(10_000))
    with open(f"{many}/Dockerfile", "w") as file:
        file.write("FROM busybox-bench\nCOPY . /many/\n")
    time.sleep(3)  # files that changed this very moment are read again
    call(BERTH + words + [many])
    call(BERTH + words + [many])
    taken = alternate({"berth": lambda: milliseconds(lambda: call(BERTH + words + [many]))}, 5)
    report("a context of 100,000 files, cached", taken)
    demand("s, of a second", taken["berth"] / 1e3, 1)


def one_detached():
    taken = milliseconds(lambda: call(BERTH + ["run", "-d", "--name", "bench", "busybox", "sleep", "1000"]))
    call(BERTH + ["rm", "-f", "bench"])
    return taken


def pull():
    """An image of six layers and 300 MB from a registry on loopback, against the same layers unpacked by hand.

    Every one into an empty place of its own: for minutes after files were deleted, ext4 searches for inodes that
    were not in use a moment ago (recently_deleted() of fs/ext4/ialloc.c), which is half of what a pull takes.
    """
    if not shutil.which("docker-registry"):
        return print("\npull: docker-registry is not installed")
    with registry() as address:
        name = f"{address}/bench:1"
        call(BERTH + ["load", "-i", layered()])
        call(BERTH + ["push", "--compression-format", "gzip", "layered", name])
        call(BERTH + ["rmi", "layered"])
        blobs = sorted((os.path.getsize(path), path) for path in packed_layers())
        processor, peak = {"berth": [], "podman": []}, []
        podman = podman_alone()

        def ours():
            root = tempfile.mkdtemp(prefix="pulled-", dir=PLACE)
            wall, used, memory = measured([options.berth, "--root", root, "--runroot", f"{PLACE}/run", "pull", "-q", name])
            processor["berth"].append(used)
            peak.append(memory)
            return wall

        def theirs():
            store = f"podman-{len(processor['podman'])}"
            wall, used, _ = measured(podman_alone(store) + ["pull", "-q", "--tls-verify=false", name])
            processor["podman"].append(used)
            return wall

        def by_hand():
            root = tempfile.mkdtemp(prefix="unpacked-", dir=PLACE)
            shell = "mkdir -p $0/{1} && gunzip -c {2} | tar -x -C $0/{1}"
            lines = [shell.replace("{1}", str(i)).replace("{2}", path) for i, (_, path) in enumerate(blobs)]
            each = ["xargs", "-d", "\\n", "-P", str(len(blobs)), "-I", "{}", "bash", "-c", "{}", root]
            taken = milliseconds(lambda: subprocess.run(
                each, input="\n".join(lines).encode(), stdout=NULL, check=True))
            return taken + milliseconds(lambda: call(["sync", "-f", root]))

        actions = {"berth": ours, "gunzip | tar, at once": by_hand, **({"podman": theirs} if podman else {})}
        medians = alternate(actions, min(options.runs, 5))
        report("pull of six layers, 300 MB", medians)
        demand_ratio(medians, "gunzip | tar, at once", 1.5)
        demand("MB at most in memory", max(peak), 64)
        if podman:
            used = {engine: statistics.median(values) for engine, values in processor.items()}
            demand_ratio(medians, "podman", 0.33)
            demand("of podman's processor time", used["berth"] / used["podman"], 0.33)
            call(podman + ["pull", "-q", "--tls-verify=false", name])
        call(BERTH + ["pull", "-q", name])
        actions = {"berth": berth("pull", "-q", name), "/bin/true": lambda: milliseconds(lambda: call(["/bin/true"]))}
        if podman:
            again = podman + ["pull", "-q", "--tls-verify=false", name]
            actions["podman"] = lambda: milliseconds(lambda: call(again))
        medians = alternate(actions, min(options.runs, 10))
        report("pull of an image that is up to date", medians)
        demand_ratio(medians, "podman", 0.2)


def packed_layers():
    """The gzip blobs of the registry, without configs and manifests."""
    for folder, _, files in os.walk(f"{PLACE}/registry"):
        for file in files:
            path = os.path.join(folder, file)
            if file == "data" and open(path, "rb").read(2) == b"\x1f\x8b":
                yield path


@contextlib.contextmanager
def registry():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with open(f"{PLACE}/registry.yml", "w") as file:
        file.write(f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {PLACE}/registry}}}}\n"
                   f"http: {{addr: '{address}'}}\n")
    process = subprocess.Popen(["docker-registry", "serve", file.name], stdin=NULL, stdout=NULL, stderr=NULL)
    try:
        host, port = address.split(":")
        while process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((host, int(port))):
                break
        yield address
    finally:
        process.terminate()
        process.wait()


def layered():
    """A docker-archive of six layers with 50 MB of this machine's own programs and libraries each."""
    wanted, files = 50 << 20, iter(sorted(usual_files()))
    layers = []
    for position in range(6):
        path, size = f"{PLACE}/layer-{position}.tar", 0
        with tarfile.open(path, "w") as tar:
            while size < wanted and (file := next(files, None)):
                tar.add(file, recursive=False)
                size += os.path.getsize(file)
        layers.append(path)
    sums = [hashlib.sha256(open(path, "rb").read()).hexdigest() for path in layers]
    config = json.dumps({"os": "linux", "architecture": "amd64", "config": {}, "rootfs": {
        "type": "layers", "diff_ids": [f"sha256:{digest}" for digest in sums]}}).encode()
    entry = {"Config": "config.json", "RepoTags": ["layered:latest"],
             "Layers": [os.path.basename(path) for path in layers]}
    archive = f"{PLACE}/layered.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in (("config.json", config), ("manifest.json", json.dumps([entry]).encode())):
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
        for path in layers:
            tar.add(path, arcname=os.path.basename(path))
            os.remove(path)
    return archive


def usual_files():
    for top in ("/usr/lib", "/usr/bin", "/usr/share"):
        for folder, _, files in os.walk(top):
            for file in files:
                path = os.path.join(folder, file)
                if os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path) < 20 << 20:
                    yield path


MEASUREMENTS = {
    "pull": pull, "run-none": run_none, "run-bridge": run_bridge, "run-wasm": run_wasm, "exec": exec_true, "life": life,
    "reading": reading, "ps": ps_many, "images": images_many, "archives": archives,
    "memory": memory, "throughput": throughput, "parallel": parallel, "build": build,
}

# What was mounted and started goes, whoever ends this.
signal.signal(signal.SIGTERM, lambda *_: sys.exit("interrupted"))
try:
    prepare()
    peers()
    chosen = options.only.split(",") if options.only else MEASUREMENTS
    for name in chosen:
        MEASUREMENTS[name]()
finally:
    left = subprocess.run(BERTH + ["ps", "-aq"], stdin=NULL, stdout=subprocess.PIPE).stdout.decode().split()
    if left:
        call(BERTH + ["rm", "-f"] + left)
    call(BERTH + ["network", "prune", "-f"])
    for peer in PEERS.values():
        subprocess.run(peer + ["rmi", "-f", "busybox-bench"], stdin=NULL, stdout=NULL, stderr=NULL)
    # Podman binds its layers onto themselves and leaves that.
    for store in glob.glob(f"{PLACE}/podman*/overlay"):
        subprocess.run(["umount", "-l", store], stdin=NULL, stdout=NULL, stderr=NULL)
    shutil.rmtree(PLACE, ignore_errors=True)
if BROKEN:
    sys.exit("\n" + "\n".join(BROKEN))
