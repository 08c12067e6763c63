// What a process does to the files under one directory, seen from between it and the C library (LD_PRELOAD).
//
// Knows: the calls by which files change. With DISK_TRACE it writes each into a trace, in the order in which they
// happened, with the octets; with DISK_FAULT it lets one of them fail, once or from then on. Refuses to know: what the
// files mean. Built by `shim.rs` with the C compiler that building Stentor needs anyway.
//
//   DISK_ROOT    the directory; absolute, without a slash at its end. Nothing outside of it is touched.
//   DISK_TRACE   file that takes the trace
//   DISK_FAULT   "CALL PATTERN N once|sticky": the N-th CALL (from 1) on a path under DISK_ROOT that contains PATTERN
//                fails with EIO. CALL is write, sync, create, rename, truncate, mkdir, unlink, or any of these; or read, or
//                open of what is there.
//   DISK_FAULTS  file that takes one line for each call that failed so, or, with N = 0, for each that could have
//
// A record is: kind u8, node u64, offset u64, length u64, length octets; numbers little endian. Kinds:
//   C created (octets: path)   M directory made (path)   W written   T length set (offset)   S synced
//   R renamed (path \0 path)   U removed (path)          D directory removed (path)
// Node is the inode; it may be given again after a removal, and a C or M says so. Paths are relative to the directory.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define NODES 65536

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[PATH_MAX];
static size_t root_len;
static int trace = -1, faults = -1, ready;
static char fault_call[16], fault_pattern[256];
static long fault_at = -1, fault_seen, fault_sticky;
static uint64_t nodes[NODES];
static dev_t device;

static void put(int fd, const void *bytes, size_t count) {
    const char *at = bytes;
    while (count > 0) {
        ssize_t done = syscall(SYS_write, fd, at, count);
        if (done < 0) {
            if (errno == EINTR) continue;
            abort();
        }
        at += done;
        count -= (size_t)done;
    }
}

static void made(char kind, const char *absolute, const char *path);

static void begin(void) {
    if (ready) return;
    ready = 1;
    const char *wanted = getenv("DISK_ROOT");
    if (!wanted) return;
    snprintf(root, sizeof root, "%s", wanted);
    root_len = strlen(root);
    struct stat found;
    if (stat(root, &found) == 0) device = found.st_dev;
    const char *path = getenv("DISK_TRACE");
    if (path) trace = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    path = getenv("DISK_FAULTS");
    if (path) faults = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const char *fault = getenv("DISK_FAULT");
    char how[16] = "";
    if (fault && sscanf(fault, "%15s %255s %ld %15s", fault_call, fault_pattern, &fault_at, how) == 4)
        fault_sticky = strcmp(how, "sticky") == 0;
    made('M', root, "");
}

static void enter(void) {
    pthread_mutex_lock(&lock);
    begin();
}

static void leave(void) {
    int kept = errno;
    pthread_mutex_unlock(&lock);
    errno = kept;
}

// The path relative to the root, or NULL for one outside.
static const char *inside(int dir, const char *path, char *space) {
    if (!root_len || !path) return NULL;
    if (path[0] != '/') {
        char link[64], base[PATH_MAX];
        ssize_t got;
        if (dir == AT_FDCWD) {
            if (!getcwd(base, sizeof base)) return NULL;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
            got = readlink(link, base, sizeof base - 1);
            if (got <= 0) return NULL;
            base[got] = 0;
        }
        if (snprintf(space, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return NULL;
        path = space;
    }
    if (strncmp(path, root, root_len) != 0) return NULL;
    if (path[root_len] == 0) return "";
    return path[root_len] == '/' ? path + root_len + 1 : NULL;
}

// The path of an open file, relative to the root; NULL for one outside, and for what has no path (a pipe, a socket).
static const char *path_of(int fd, char *space) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, space, PATH_MAX - 1);
    if (got <= 0) return NULL;
    space[got] = 0;
    return space[0] == '/' ? inside(AT_FDCWD, space, NULL) : NULL;
}

// Whether this call fails. `path` is relative to the root.
static int fails(const char *call, const char *path) {
    if (fault_at < 0 || !path) return 0;
    int changes = strcmp(call, "read") != 0 && strcmp(call, "open") != 0;
    if (!(changes && strcmp(fault_call, "any") == 0) && strcmp(fault_call, call) != 0) return 0;
    if (strcmp(fault_pattern, "*") != 0 && !strstr(path, fault_pattern)) return 0;
    fault_seen++;
    int now = fault_at == 0 ? 0 : fault_sticky ? fault_seen >= fault_at : fault_seen == fault_at;
    if ((now || fault_at == 0) && faults >= 0) {
        char line[PATH_MAX + 64];
        int length = snprintf(line, sizeof line, "%s %s\n", call, path);
        put(faults, line, (size_t)length);
    }
    if (now) errno = EIO;
    return now;
}

static int fd_fails(const char *call, int fd) {
    char space[PATH_MAX];
    if (fault_at < 0 || !root_len) return 0;
    return fails(call, path_of(fd, space));
}

static void record(char kind, uint64_t node, uint64_t offset, const void *bytes, size_t count) {
    unsigned char head[25];
    uint64_t length = count;
    if (trace < 0) return;
    head[0] = (unsigned char)kind;
    memcpy(head + 1, &node, 8);
    memcpy(head + 9, &offset, 8);
    memcpy(head + 17, &length, 8);
    put(trace, head, sizeof head);
    put(trace, bytes, count);
}

static uint64_t *slot(uint64_t node) {
    for (uint64_t at = node * 0x9E3779B97F4A7C15u;; at++) {
        uint64_t *found = &nodes[at % NODES];
        if (*found == node || *found == 0) return found;
    }
}

// Numbers of removed nodes stay in the table: a node that comes again is made again first.
static void known(uint64_t node) { *slot(node) = node; }

// The node of an open file if it was made under the root.
static uint64_t node_of(int fd) {
    struct stat found;
    if (trace < 0 || fstat(fd, &found) != 0 || found.st_dev != device) return 0;
    return *slot(found.st_ino) == found.st_ino ? found.st_ino : 0;
}

static void made(char kind, const char *absolute, const char *path) {
    struct stat found;
    if (trace < 0 || lstat(absolute, &found) != 0) return;
    known(found.st_ino);
    record(kind, found.st_ino, 0, path, strlen(path));
}

static int open_any(int dir, const char *path, int flags, mode_t mode) {
    char space[PATH_MAX], absolute[2 * PATH_MAX];
    struct stat found;
    enter();
    const char *name = inside(dir, path, space);
    int is_new = 0, fd;
    if (name && (flags & O_CREAT)) {
        snprintf(absolute, sizeof absolute, "%s/%s", root, name);
        is_new = lstat(absolute, &found) != 0;
        if (is_new && fails("create", name)) {
            leave();
            return -1;
        }
    }
    if (name && !is_new && fails("open", name)) {
        leave();
        return -1;
    }
    fd = (int)syscall(SYS_openat, dir, path, flags | O_LARGEFILE, mode);
    if (fd >= 0 && name) {
        if (is_new) {
            made('C', absolute, name);
        } else if (flags & O_TRUNC) {
            uint64_t node = node_of(fd);
            if (node) record('T', node, 0, "", 0);
        }
    }
    leave();
    return fd;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_any(AT_FDCWD, path, flags, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_any(dir, path, flags, mode); }

// Where the next write goes.
static uint64_t offset_of(int fd) {
    struct stat found;
    if ((fcntl(fd, F_GETFL) & O_APPEND) && fstat(fd, &found) == 0) return (uint64_t)found.st_size;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    enter();
    if (fd_fails("write", fd)) {
        leave();
        return -1;
    }
    uint64_t node = node_of(fd), offset = node ? offset_of(fd) : 0;
    ssize_t done = syscall(SYS_write, fd, bytes, count);
    if (node && done > 0) record('W', node, offset, bytes, (size_t)done);
    leave();
    return done;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    enter();
    if (fd_fails("write", fd)) {
        leave();
        return -1;
    }
    uint64_t node = node_of(fd), offset = node ? offset_of(fd) : 0;
    ssize_t done = syscall(SYS_writev, fd, parts, count);
    ssize_t left = node ? done : 0;
    for (int at = 0; at < count && left > 0; at++) {
        size_t part = parts[at].iov_len < (size_t)left ? parts[at].iov_len : (size_t)left;
        record('W', node, offset, parts[at].iov_base, part);
        offset += part;
        left -= (ssize_t)part;
    }
    leave();
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    enter();
    if (fd_fails("write", fd)) {
        leave();
        return -1;
    }
    uint64_t node = node_of(fd);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);
    if (node && done > 0) record('W', node, (uint64_t)offset, bytes, (size_t)done);
    leave();
    return done;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
    enter();
    int failed = fd_fails("read", fd);
    leave();
    return failed ? -1 : syscall(SYS_pread64, fd, bytes, count, offset);
}
ssize_t pread(int fd, void *bytes, size_t count, off_t offset) { return pread64(fd, bytes, count, offset); }

ssize_t read(int fd, void *bytes, size_t count) {
    enter();
    int failed = fd_fails("read", fd);
    leave();
    return failed ? -1 : syscall(SYS_read, fd, bytes, count);
}

int ftruncate64(int fd, off64_t length) {
    enter();
    if (fd_fails("truncate", fd)) {
        leave();
        return -1;
    }
    uint64_t node = node_of(fd);
    int done = (int)syscall(SYS_ftruncate, fd, length);
    if (node && done == 0) record('T', node, (uint64_t)length, "", 0);
    leave();
    return done;
}
int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

static int sync_any(int fd, long call) {
    enter();
    if (fd_fails("sync", fd)) {
        leave();
        return -1;
    }
    uint64_t node = node_of(fd);
    int done = (int)syscall(call, fd);
    if (node && done == 0) record('S', node, 0, "", 0);
    leave();
    return done;
}
int fsync(int fd) { return sync_any(fd, SYS_fsync); }
int fdatasync(int fd) { return sync_any(fd, SYS_fdatasync); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char from_space[PATH_MAX], to_space[PATH_MAX], both[2 * PATH_MAX];
    enter();
    const char *old = inside(from_dir, from, from_space), *new = inside(to_dir, to, to_space);
    if (new && fails("rename", new)) {
        leave();
        return -1;
    }
    int done = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    if (done == 0 && old && new) {
        size_t length = strlen(old) + 1;
        memcpy(both, old, length);
        memcpy(both + length, new, strlen(new));
        record('R', 0, 0, both, length + strlen(new));
    }
    leave();
    return done;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int unlinkat(int dir, const char *path, int flags) {
    char space[PATH_MAX];
    enter();
    const char *name = inside(dir, path, space);
    if (name && fails("unlink", name)) {
        leave();
        return -1;
    }
    int done = (int)syscall(SYS_unlinkat, dir, path, flags);
    if (done == 0 && name) record(flags & AT_REMOVEDIR ? 'D' : 'U', 0, 0, name, strlen(name));
    leave();
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char space[PATH_MAX], absolute[2 * PATH_MAX];
    enter();
    const char *name = inside(dir, path, space);
    if (name && fails("mkdir", name)) {
        leave();
        return -1;
    }
    int done = (int)syscall(SYS_mkdirat, dir, path, mode);
    if (done == 0 && name) {
        snprintf(absolute, sizeof absolute, "%s/%s", root, name);
        made('M', absolute, name);
    }
    leave();
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
