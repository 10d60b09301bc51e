/* A folder as vfat has it, for programs that are started with this as LD_PRELOAD: below $VFAT, and below any directory
   that is held open, names are case-blind and may have none of \:*?"<>| in them. Names are stored in lower case. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The path that is really meant; NULL if vfat has no such name. */
static const char *mapped(const char *path, char out[PATH_MAX]) {
    const char *below = NULL, *folder = getenv("VFAT");
    if (!strncmp(path, "/proc/self/fd/", 14))
        below = strchr(path + 14, '/');
    else if (folder && !strncmp(path, folder, strlen(folder)))
        below = path + strlen(folder);
    if (!below || strlen(path) >= PATH_MAX)
        return path;
    if (strpbrk(below, "\\:*?\"<>|")) {
        errno = EINVAL;
        return NULL;
    }
    strcpy(out, path);
    for (char *at = out + (below - path); *at; at++)
        *at = tolower((unsigned char)*at);
    return out;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MAP(path) char buffer_##path[PATH_MAX]; if (!(path = mapped(path, buffer_##path))) return -1

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    mode_t mode = va_arg(rest, mode_t);
    va_end(rest);
    MAP(path);
    return REAL(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode) { MAP(path); return REAL(mkdir)(path, mode); }
int unlink(const char *path) { MAP(path); return REAL(unlink)(path); }
int rmdir(const char *path) { MAP(path); return REAL(rmdir)(path); }
int rename(const char *from, const char *to) { MAP(from); MAP(to); return REAL(rename)(from, to); }

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags) {
    MAP(from);
    MAP(to);
    return REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int statx(int dir, const char *path, int flags, unsigned mask, struct statx *data) {
    if (path) {
        MAP(path);
        return REAL(statx)(dir, path, flags, mask, data);
    }
    return REAL(statx)(dir, path, flags, mask, data);
}
