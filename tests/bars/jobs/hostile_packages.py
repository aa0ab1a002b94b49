#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Nobody need trust a package: traversal, links, devices, bombs, 10^6 entries, names that no honest
program gives are refused with the entry named, as directories, archives (tar, tar.gz, zip) and blobs;
nothing is written outside, nothing is left half-written, also after kill -9, and nothing is read
outside while somebody swaps folders for links. A good tree comes back byte for byte, and gives one
digest whether it came as a directory or an archive. `--large`: with a file of 200 MiB in it, and a
directory of 10^6 files among what is refused."""
import gzip
import hashlib
import io
import os
import resource
import shutil
import socket
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../integ"))
from mesh import Skip, build_dir, judge, require  # noqa: E402

MAGIC = 0x32464853
FILE, PROGRAM, FOLDER, LINK = 1, 2, 3, 4
ENTRIES_MAX = 1000000
MEMORY_MAX = 1200 << 20  # of a call that refuses a bomb
MEMORY_NEEDED = 1 << 30
LIMIT_S = 120
BIG_BYTES = (200 if "--large" in sys.argv else 32) << 20
KILLS = 20
RACES = 60
SECRET = b"nobody may pack this"


def roomy():
    """In memory where there is room: what is shown here is not how fast the disk syncs."""
    memory = "/dev/shm"
    room = shutil.disk_usage(memory).free if os.path.isdir(memory) else 0
    return memory if room > MEMORY_NEEDED and "--large" not in sys.argv else None


class Yard:
    """A folder with a place to work in, and things around it that must stay as they are."""

    def __init__(self):
        self.tool = os.path.join(build_dir(), "tests", "package_tool")
        if not os.access(self.tool, os.X_OK):
            raise Skip(f"{self.tool} is not built")
        self.dir = tempfile.mkdtemp(prefix="shoal-packages-", dir=roomy())
        self.outside = os.path.join(self.dir, "outside")
        os.mkdir(self.outside)
        self.put("outside/secret", SECRET)
        os.mkdir(os.path.join(self.dir, "in"))
        self.before = self.around()
        self.refused = 0

    def path(self, *parts):
        return os.path.join(self.dir, "in", *parts)

    def put(self, name, data, mode=0o644):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)
        return path

    def around(self):
        """Everything but "in", to be compared."""
        found = []
        for folder, folders, names in os.walk(self.dir):
            if folder == self.dir:
                folders.remove("in") if "in" in folders else None
            for name in folders + names:
                path = os.path.join(folder, name)
                found.append((path, os.lstat(path).st_mode, os.lstat(path).st_mtime_ns))
        return sorted(found)

    def run(self, *words):
        """(exit status, stderr, peak bytes of memory)."""
        with subprocess.Popen([self.tool, *words], stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL) as child:
            timer = threading.Timer(LIMIT_S, child.kill)
            timer.start()
            text = child.stderr.read().decode("utf-8", "replace").strip()
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            timer.cancel()
        return child.returncode, text, usage.ru_maxrss * 1024

    def must(self, *words):
        status, text, _ = self.run(*words)
        require(status == 0, f"{' '.join(words)}: {text}")

    def refuse(self, label, entry, *words):
        """The call is refused in one line that names the entry, and leaves nothing."""
        kept = set(os.listdir(self.path()))
        status, text, peak = self.run(*words)
        require(status == 1, f"{label}: exit status {status}, not 1: {text}")
        require(entry in text and "\n" not in text, f"{label}: does not name {entry}: {text}")
        require(set(os.listdir(self.path())) == kept, f"{label}: left something in the folder")
        require(self.around() == self.before, f"{label}: changed something outside")
        require(peak <= MEMORY_MAX, f"{label}: {peak >> 20} MiB of memory")
        self.refused += 1
        return peak

    def clear(self):
        shutil.rmtree(self.path())
        os.mkdir(self.path())

    def close(self):
        shutil.rmtree(self.dir)


# ---- archives and blobs ----

def tar_bytes(entries, pack=lambda data: data):
    """entries: (name, type, mode, link, data)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind, mode, link, data in entries:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname, info.size = kind, mode, link, len(data)
            info.devmajor, info.devminor = 1, 3
            archive.addfile(info, io.BytesIO(data))
    return pack(out.getvalue())


def zip_bytes(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, mode, data in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    return out.getvalue()


def blob_bytes(entries, count=None):
    """entries: (kind, path, data)."""
    index = 12 + sum(21 + len(path) for _, path, _ in entries)
    out = [struct.pack("<III", MAGIC, 0, len(entries) if count is None else count)]
    for kind, path, data in entries:
        out.append(struct.pack("<BQQI", kind, index, len(data), len(path)) + path)
        index += len(data)
    return b"".join(out + [data for _, _, data in entries])


def million_tar(path, count):
    """A .tar.gz of so many empty files, without a tar object for each."""
    info = tarfile.TarInfo("f0000000")
    plain = bytearray(info.tobuf(tarfile.USTAR_FORMAT)[:512])
    total = int(plain[148:154], 8) - 7 * ord("0")
    with gzip.open(path, "wb", compresslevel=1) as out:
        for start in range(0, count, 10000):
            part = bytearray()
            for i in range(start, min(start + 10000, count)):
                digits = b"%07d" % i
                plain[1:8] = digits
                plain[148:154] = b"%06o" % (total + sum(digits))
                part += plain
            out.write(part)
        out.write(bytes(1024))


# ---- what is good ----

def good_tree(root):
    def put(name, data, mode=0o644):
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)
    put("train.py", b"print(1)\n")
    put("run.sh", b"#!/bin/sh\n", 0o755)
    put("a/b/c/d/deep.txt", b"deep")
    put("a/models/kept.txt", b"kept")
    put("data/blob.bin", bytes(range(256)) * (BIG_BYTES // 256))
    put("caf\u00e9/\u7a0b.txt", b"names")
    put("models/old.h5", b"left out")
    put("evaluation/results.csv", b"left out")
    put("cut.log", b"left out")
    put(".shoalignore", b"*.log\n")
    os.mkdir(os.path.join(root, "empty"))
    os.symlink("../train.py", os.path.join(root, "a/link"))


def listing(root):
    """{path: (mode, digest or target)} of all that a package keeps."""
    found = {}
    for folder, folders, names in os.walk(root):
        if folder == root:
            folders[:] = [f for f in folders if f not in ("models", "evaluation")]
        for name in folders + names:
            path = os.path.join(folder, name)
            below = os.path.relpath(path, root)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                found[below] = ("link", os.readlink(path))
            elif stat.S_ISDIR(mode):
                found[below] = ("folder", "")
            elif not name.endswith(".log"):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                found[below] = ("program" if mode & 0o100 else "file", digest)
    return found


def good(yard):
    tree = yard.path("tree")
    good_tree(tree)
    with tarfile.open(yard.path("t.tar"), "w") as archive:
        archive.add(tree, ".")
    with tarfile.open(yard.path("t.tar.gz"), "w:gz", compresslevel=1) as archive:
        for name in sorted(os.listdir(tree), reverse=True):
            archive.add(os.path.join(tree, name), name)
    with zipfile.ZipFile(yard.path("t.zip"), "w", zipfile.ZIP_STORED) as archive:
        for folder, folders, names in os.walk(tree):
            for name in folders + names:
                path = os.path.join(folder, name)
                info = zipfile.ZipInfo.from_file(path, os.path.relpath(path, tree))
                if os.path.islink(path):
                    info = zipfile.ZipInfo(os.path.relpath(path, tree))
                    info.create_system, info.external_attr = 3, 0o120777 << 16
                    archive.writestr(info, os.readlink(path))
                elif os.path.isdir(path):
                    archive.writestr(info, b"")
                else:
                    with open(path, "rb") as file:
                        archive.writestr(info, file.read())
    yard.must("pack", tree, yard.path("b0"))
    digests = set()
    for i, name in enumerate(("t.tar", "t.tar.gz", "t.zip"), 1):
        yard.must("archive", yard.path(name), yard.path(f"b{i}"))
    for i in range(4):
        with open(yard.path(f"b{i}"), "rb") as file:
            digests.add(hashlib.sha256(file.read()).hexdigest())
    require(len(digests) == 1, "directory, tar, tar.gz and zip give different packages")
    yard.must("extract", yard.path("b0"), yard.path("x"))
    require(listing(yard.path("x")) == listing(tree), "the extracted tree differs")
    yard.clear()


# ---- what is refused ----

REG, SYM, HARD = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
NAMES = [("../up", "../up"), ("a/../../up", "a/../../up"), ("/etc/cron.d/x", "/etc/cron.d/x"),
         ("a\nb", "a\\nb"), ("a\x1b[2Jb", "a\\x1b[2Jb"), ("..\\up", "..\\up"), ("x/./y", "x/./y"),
         ("d/" * 64 + "x", "more than 64 folders deep"), ("n" * 256, "a name of more than 255")]
LINKS = [("/etc/passwd", "an absolute path"), ("../up", "leaves the tree"),
         ("a/../..", "with"), ("../outside/secret", "leaves the tree")]


def archives(yard):
    def tried(label, entry, data):
        with open(yard.path("archive"), "wb") as file:
            file.write(data)
        yard.refuse(label, entry, "archive", yard.path("archive"), yard.path("out"))
    packings = (("tar", lambda data: data), ("tar.gz", lambda data: gzip.compress(data, 1)))
    for kind, pack in packings:
        for name, entry in NAMES:
            tried(f"{kind} {entry}", entry, tar_bytes([(name, REG, 0o644, "", b"x")], pack))
        for target, what in LINKS:
            tried(f"{kind} link {target}", "l: a link",
                  tar_bytes([("l", SYM, 0o777, target, b"")], pack))
        tried(f"{kind} through a link", "l: both", tar_bytes(
            [("l", SYM, 0o777, "d", b""), ("l/secret", REG, 0o644, "", b"x")], pack))
        tried(f"{kind} link, then file", "l: is there twice", tar_bytes(
            [("l", SYM, 0o777, "d", b""), ("l", REG, 0o644, "", b"x")], pack))
        tried(f"{kind} twice", "a: is there twice",
              tar_bytes([("a", REG, 0o644, "", b"x"), ("./a", REG, 0o644, "", b"y")], pack))
        tried(f"{kind} hard link", "h: a hard link",
              tar_bytes([("h", HARD, 0o644, "/etc/shadow", b"")], pack))
        for device in (tarfile.CHRTYPE, tarfile.BLKTYPE):
            tried(f"{kind} device", "dev: a device",
                  tar_bytes([("dev", device, 0o666, "", b"")], pack))
        tried(f"{kind} pipe", "p: a pipe", tar_bytes([("p", tarfile.FIFOTYPE, 0o666, "", b"")], pack))
        tried(f"{kind} set-user-id", "su: a program with set-user-id",
              tar_bytes([("su", REG, 0o4755, "", b"x")], pack))
        tried(f"{kind} case", "a: differs from A by case alone",
              tar_bytes([("A", REG, 0o644, "", b""), ("a", REG, 0o644, "", b"")], pack))
        tried(f"{kind} cut", "not a whole" if kind == "tar.gz" else "a: damaged", tar_bytes([("a", REG, 0o644, "", os.urandom(9000))],
                                                  lambda d, p=pack: p(d)[:len(p(d)) // 3]))
    for name, entry in NAMES:
        if "\\" not in name:
            tried(f"zip {entry}", entry, zip_bytes([(name, 0o100644, b"x")]))
    for target, what in LINKS:
        tried(f"zip link {target}", "l: a link", zip_bytes([("l", 0o120777, target)]))
    tried("zip through a link", "l: both",
          zip_bytes([("l", 0o120777, "d"), ("l/secret", 0o100644, b"x")]))
    tried("zip set-user-id", "su: a program", zip_bytes([("su", 0o104755, b"x")]))
    tried("zip device", "dev: a device", zip_bytes([("dev", 0o020666, b"")]))
    tried("no archive", "not a whole tar", b"#!/bin/sh\n")
    os.unlink(yard.path("archive"))


def blobs(yard):
    def tried(label, entry, data):
        with open(yard.path("blob"), "wb") as file:
            file.write(data)
        yard.refuse(f"blob {label}", entry, "extract", yard.path("blob"), yard.path("x"))
    for name, entry in NAMES:
        tried(entry, entry, blob_bytes([(FILE, name.encode(), b"x")]))
    for target, what in LINKS:
        tried(f"link {target}", "l: a link", blob_bytes([(LINK, b"l", target.encode())]))
    tried("NUL", "a\\x00b", blob_bytes([(FILE, b"a\0b", b"x")]))
    tried("no UTF-8", "caf\\xe9", blob_bytes([(FILE, b"caf\xe9", b"x")]))
    tried("twice", "a: twice", blob_bytes([(FILE, b"a", b"x"), (FILE, b"a", b"y")]))
    tried("through a link", "l: both", blob_bytes([(LINK, b"l", b"/etc"[1:]), (FILE, b"l/x", b"")]))
    tried("case", "a: differs", blob_bytes([(FILE, b"A", b""), (FILE, b"a", b"")]))
    for kind in (0, 5, 0x81, 255):
        tried(f"kind {kind}", "a: neither", blob_bytes([(kind, b"a", b"x")]))
    tried("size", "a: its bytes", blob_bytes([(FILE, b"a", b"x")])[:-1])
    claimed = bytearray(blob_bytes([(FILE, b"a", b"x")]))
    claimed[21:29] = struct.pack("<Q", 1 << 62)
    tried("2^62 bytes", "a: its bytes", bytes(claimed))
    tried("2^32 - 1 entries", "more than 1,000,000", blob_bytes([(FILE, b"a", b"x")], 0xffffffff))
    many = [(FILE, b"%07d/%d" % (i, i), b"") for i in range(ENTRIES_MAX // 2 + 1)]
    tried("10^6 entries and folders", "more than 1,000,000", blob_bytes(many))
    os.unlink(yard.path("blob"))


def directories(yard):
    def tried(label, entry, make, *words):
        tree = yard.path("tree")
        os.makedirs(os.path.join(tree, "d"))
        with open(os.path.join(tree, "ok"), "wb") as file:
            file.write(b"ok")
        make(os.path.join(tree, "d"))
        yard.refuse(f"directory {label}", entry, *(words or ("pack", tree, yard.path("out"))))
        yard.refuse(f"outputs {label}", entry, "collect", tree, yard.path("out"), "**")
        shutil.rmtree(tree)

    def name(text):
        return lambda d: open(os.path.join(os.fsencode(d), text), "wb").close()

    def link(target):
        return lambda d: os.symlink(target, os.path.join(d, "l"))

    def bound(d):
        with socket.socket(socket.AF_UNIX) as end:
            here = os.getcwd()
            os.chdir(d)
            end.bind("s")
            os.chdir(here)

    def set_id(d):
        name(b"su")(d)
        os.chmod(os.path.join(d, "su"), 0o4755)

    def case(d):
        name(b"A")(d)
        name(b"a")(d)

    def sparse(d):
        name(b"huge")(d)
        os.truncate(os.path.join(d, "huge"), 1 << 42)
    for text, entry in ((b"a\nb", "d/a\\nb"), (b"\x1b[2J", "d/\\x1b[2J"), (b"a\\b", "d/a\\b"),
                        (b"\xff", "d/\\xff")):
        tried(entry, entry, name(text))
    for target in ("/etc/passwd", "../../outside", "x/../../..", "../d/../ok"):
        tried(f"link {target}", "d/l: a link", link(target))
    tried("pipe", "d/p: a pipe", lambda d: os.mkfifo(os.path.join(d, "p")))
    tried("socket", "d/s: a socket", bound)
    tried("set-user-id", "d/su: a program", set_id)
    tried("case", "d/a: differs", case)
    tried("4 TiB without a block", "d/huge: ", sparse)
    try:
        tried("device", "d/null: a device", lambda d: os.mknod(
            os.path.join(d, "null"), stat.S_IFCHR | 0o666, os.makedev(1, 3)))
    except PermissionError:
        print("no right to make a device: that row is left out")


def bombs(yard):
    """What unpacks to far more than it is. Returns the most memory that a refusal took."""
    peak = 0
    zeros = bytes(1 << 20)
    with tarfile.open(yard.path("bomb"), "w:gz", compresslevel=9) as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 1 << 30
        archive.addfile(info, Zeros(info.size, zeros))
    peak = max(peak, yard.refuse("tar.gz of 1 GiB of zeros", "zeros: with it", "archive",
                                 yard.path("bomb"), yard.path("out")))
    with zipfile.ZipFile(yard.path("bomb"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for i in range(40):
            archive.writestr(f"zeros{i}", zeros * 8)
    peak = max(peak, yard.refuse("zip of zeros", "with it", "archive", yard.path("bomb"),
                                 yard.path("out")))
    claim = bytearray(tar_bytes([("a", REG, 0o644, "", b"x")]))
    claim[124:136] = b"777777777777"  # 64 GiB, of which 512 bytes are there
    claim[148:156] = b"        "
    claim[148:156] = b"%06o\0 " % sum(claim[:512])
    with open(yard.path("bomb"), "wb") as file:
        file.write(claim)
    peak = max(peak, yard.refuse("tar that says 64 GiB", "a: damaged", "archive",
                                 yard.path("bomb"), yard.path("out")))
    million_tar(yard.path("bomb"), ENTRIES_MAX + 1)
    peak = max(peak, yard.refuse("10^6 + 1 entries", "f1000000: more than 1,000,000", "archive",
                                 yard.path("bomb"), yard.path("out")))
    os.unlink(yard.path("bomb"))
    return peak


class Zeros:
    """A file of so many zeros, to be read in parts."""

    def __init__(self, size, part):
        self.left, self.part = size, part

    def read(self, size=-1):
        size = min(self.left, len(self.part), size if size >= 0 else self.left)
        self.left -= size
        return self.part[:size]


def million_files(yard):
    tree = yard.path("tree")
    for folder in range(1000):
        os.makedirs(os.path.join(tree, f"{folder:03}"))
        for i in range(1000):
            os.close(os.open(os.path.join(tree, f"{folder:03}", f"{i:03}"), os.O_CREAT | os.O_WRONLY))
    yard.refuse("directory of 10^6 files", "more than 1,000,000", "pack", tree, yard.path("out"))
    shutil.rmtree(tree)


# ---- what happens meanwhile ----

def begun(yard):
    """Folders in a half-written extraction; 0 where there is none, or it has just been renamed."""
    for name in os.listdir(yard.path()):
        if name.startswith("x."):
            try:
                return len(os.listdir(yard.path(name)))
            except FileNotFoundError:
                return 0
    return 0


def killed(yard):
    """kill -9 in the middle of an extraction: no folder, or the whole one."""
    entries = sorted((FILE, b"%03d/%d" % (i % 50, i), b"x" * 100) for i in range(4000))
    entries.sort(key=lambda entry: entry[1])
    with open(yard.path("blob"), "wb") as file:
        file.write(blob_bytes(entries))
    whole = halves = 0
    for i in range(KILLS):
        with subprocess.Popen([yard.tool, "extract", yard.path("blob"), yard.path("x")]) as child:
            while child.poll() is None:
                if begun(yard) > i * 50 // KILLS or os.path.exists(yard.path("x")):
                    child.kill()
                    break
        if os.path.exists(yard.path("x")):
            count = sum(len(names) for _, _, names in os.walk(yard.path("x")))
            require(count == len(entries), f"killed: {count} of {len(entries)} files appeared")
            whole += 1
        for name in os.listdir(yard.path()):
            if name != "blob":
                halves += name.startswith("x.")
                shutil.rmtree(yard.path(name))
    require(halves > 0, "killed: no extraction was hit in the middle")
    os.unlink(yard.path("blob"))
    return halves, whole


def swapped(yard):
    """A folder becomes a link to the outside and back while it is packed."""
    tree = yard.path("tree")
    for folder in range(40):
        yard.put(f"in/tree/d{folder}/secret", b"x" * len(SECRET))
    stop = threading.Event()

    def swap():
        number = 0
        while not stop.is_set():
            at = os.path.join(tree, f"d{number % 40}")
            os.rename(at, yard.path("aside"))
            os.symlink(yard.outside, at)
            os.unlink(at)
            os.rename(yard.path("aside"), at)
            number += 1
    thread = threading.Thread(target=swap)
    thread.start()
    refused = 0
    try:
        for _ in range(RACES):
            status, _, _ = yard.run("collect", tree, yard.path("out"), "**")
            refused += status == 1
            if status == 0:
                with open(yard.path("out"), "rb") as file:
                    require(SECRET not in file.read(), "swapped: a file from outside was packed")
    finally:
        stop.set()
        thread.join()
    require(refused > 0, "swapped: no call met a folder that was gone or a link")
    yard.clear()
    return refused


def main():
    yard = Yard()
    try:
        good(yard)
        archives(yard)
        blobs(yard)
        directories(yard)
        peak = bombs(yard)
        if "--large" in sys.argv:
            million_files(yard)
        halves, whole = killed(yard)
        races = swapped(yard)
        require(yard.around() == yard.before, "something outside changed")
    finally:
        yard.close()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{KILLS} extractions killed: {halves} in the middle, {whole} whole; {races} of {RACES} "
          f"calls refused while folders were swapped for links; {children.ru_utime:.0f} s")
    print(f"{yard.refused} hostile packages refused by name, at most {peak >> 20} MiB for a bomb; "
          "nothing written or read outside")


if __name__ == "__main__":
    judge(main)
