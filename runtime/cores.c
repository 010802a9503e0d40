/* runtime/cores.c -- how many threads this process can keep busy, and what says so: the cores that
 * are online, those that it may run on (its affinity mask), or the CPU time that its control groups
 * grant.
 *
 * A quota binds a group and every group below it, so that the least one counts between the group of
 * this process (/proc/self/cgroup) and the top of what is mounted (/proc/self/mountinfo; where that
 * says nothing, the usual folders). Version 1 keeps quota and period in two files, version 2 in
 * one; a machine may have both versions mounted. What is missing or is no number sets no bound. */
#define _GNU_SOURCE /* sched_getaffinity, asprintf, getline */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/internal.h"

enum { V1, V2, VERSIONS };

typedef struct {
    const char *root;       /* goes before every path that is opened */
    char *group[VERSIONS];  /* owns: of this process; NULL: not known */
    bool mounted[VERSIONS]; /* a mount of the version was found */
    RtQuota least;
} Search;

/* ---- quotas -------------------------------------------------------------------------------- */

/* Numbers at the beginning of DIR/NAME: how many of the `most` there are. */
static int
read_numbers(const Search *s, const char *dir, const char *name, int most, long long *out)
{
    char *path = NULL;
    int count = 0;
    if (asprintf(&path, "%s%s/%s", s->root, dir, name) < 0)
        return 0;
    FILE *file = fopen(path, "re");
    while (file && count < most && fscanf(file, "%lld", &out[count]) == 1)
        count++;
    if (file)
        fclose(file);
    free(path);
    return count;
}

/* Quota and period of one group. */
static void
look_at(Search *s, int version, const char *dir, const char *group)
{
    long long n[2] = {0};
    const bool found = version == V2 ? read_numbers(s, dir, "cpu.max", 2, n) == 2
                                     : read_numbers(s, dir, "cpu.cfs_quota_us", 1, &n[0]) == 1 &&
                                           read_numbers(s, dir, "cpu.cfs_period_us", 1, &n[1]) == 1;
    if (!found || n[0] <= 0 || n[1] <= 0 || (double)n[0] / (double)n[1] >= s->least.cpus)
        return;
    s->least.cpus = (double)n[0] / (double)n[1];
    s->least.group = rt_quote(*group ? group : "/");
}

/* The group `below` a mount, and every group above it that is mounted. */
static void
walk_up(Search *s, int version, const char *mount, const char *below)
{
    char *dir = NULL;
    const size_t top = strcmp(mount, "/") == 0 ? 0 : strlen(mount);
    if (asprintf(&dir, "%.*s%s", (int)top, mount, strcmp(below, "/") == 0 ? "" : below) < 0)
        return;
    for (char *end = dir + strlen(dir);; end = strrchr(dir, '/')) {
        *end = '\0';
        look_at(s, version, dir, dir + top);
        if (end <= dir + top)
            break;
    }
    free(dir);
}

/* A hierarchy whose part from group `root` on is at `mount`. Of a group outside that part, or
 * outside the namespace of this process (/..), the top of the mount is all that can be found. */
static void
look_below(Search *s, int version, const char *mount, const char *root)
{
    const char *group = s->group[version] ? s->group[version] : "/";
    const size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(group, root, len) == 0 ? group + len : "";
    const bool inside = *below == '/' && strncmp(below, "/..", 3) != 0;
    s->mounted[version] = true;
    walk_up(s, version, mount, inside ? below : "");
}

/* ---- /proc --------------------------------------------------------------------------------- */

static bool
has_word(const char *list, size_t len, const char *word)
{
    const char *end = list + len;
    for (const char *at = list; at < end; at++) {
        const size_t n = strcspn(at, ",\n");
        const size_t in = n < (size_t)(end - at) ? n : (size_t)(end - at);
        if (in == strlen(word) && strncmp(at, word, in) == 0)
            return true;
        at += in;
    }
    return false;
}

/* NUMBER:CONTROLLERS:GROUP; version 2 has number 0 and names no controllers. */
static void
take_group(Search *s, char *line)
{
    const char *controllers = strchr(line, ':');
    const char *group = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!group)
        return;
    controllers++;
    const size_t len = (size_t)(group - controllers);
    const int version = len == 0 ? V2 : has_word(controllers, len, "cpu") ? V1 : VERSIONS;
    if (version == VERSIONS || s->group[version] || group[1] != '/')
        return;
    s->group[version] = strndup(group + 1, strcspn(group + 1, "\n"));
}

/* Spaces and the like are written \040 there. */
static void
unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at; to++) {
        const bool escape = at[0] == '\\' && strspn(at + 1, "01234567") >= 3;
        *to = escape ? (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0')) : *at;
        at += escape ? 4 : 1;
    }
    *to = '\0';
}

/* ID PARENT DEVICE ROOT MOUNT OPTIONS TAGS... - TYPE SOURCE SUPER */
static void
take_mount(Search *s, char *line)
{
    char *root = NULL, *mount = NULL, *save = NULL, *dash = strstr(line, " - ");
    if (!dash)
        return;
    *dash = '\0';
    char *field = strtok_r(line, " ", &save);
    for (int i = 0; field && i < 5; i++, field = strtok_r(NULL, " ", &save))
        *(i == 3 ? &root : &mount) = field;
    const char *type = strtok_r(dash + 3, " ", &save), *source = strtok_r(NULL, " ", &save);
    const char *super = source ? strtok_r(NULL, " \n", &save) : NULL;
    if (!root || mount == root || !super)
        return;
    unescape(root);
    unescape(mount);
    if (strcmp(type, "cgroup2") == 0)
        look_below(s, V2, mount, root);
    if (strcmp(type, "cgroup") == 0 && has_word(super, strlen(super), "cpu"))
        look_below(s, V1, mount, root);
}

/* Calls take with every line of a file, if there is one. */
static void
each_line(Search *s, const char *name, void (*take)(Search *, char *))
{
    char *path = NULL, *line = NULL;
    size_t room = 0;
    if (asprintf(&path, "%s%s", s->root, name) < 0)
        return;
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &room, file) >= 0)
        take(s, line);
    if (file)
        fclose(file);
    free(line);
    free(path);
}

RtQuota
rt_quota_find(const char *root)
{
    static const struct {
        int version;
        const char *mount;
    } usual[] = {
        {V2, "/sys/fs/cgroup"            },
        {V2, "/sys/fs/cgroup/unified"    },
        {V1, "/sys/fs/cgroup/cpu,cpuacct"},
        {V1, "/sys/fs/cgroup/cpu"        },
    };
    Search s = {.root = root, .least = {.cpus = INFINITY}};
    each_line(&s, "/proc/self/cgroup", take_group);
    each_line(&s, "/proc/self/mountinfo", take_mount);
    const bool nothing = !s.mounted[V1] && !s.mounted[V2];
    for (size_t i = 0; nothing && i < RT_COUNT(usual); i++)
        look_below(&s, usual[i].version, usual[i].mount, "/");
    for (int i = 0; i < VERSIONS; i++)
        free(s.group[i]);
    return s.least;
}

/* ---- cores --------------------------------------------------------------------------------- */

RtCores
rt_cores_of(int online, int allowed, const RtQuota *quota)
{
    RtCores c = {.count = online, .why = "cores online"};
    if (allowed < c.count || online < 1)
        c = (RtCores){.count = allowed, .why = "CPU affinity"};
    if (c.count > RT_MAX_THREADS)
        c = (RtCores){.count = RT_MAX_THREADS, .why = "the most there can be"};
    if (c.count < 1)
        c.count = 1;
    if (quota->cpus >= c.count)
        return c;
    c.count = quota->cpus < 1 ? 1 : (int)quota->cpus;
    snprintf(c.why, sizeof c.why, "cgroup quota %.4g CPUs of %s", quota->cpus, quota->group.text);
    return c;
}

/* Cores in the affinity mask; 0: the system does not say. Masks are as long as the kernel wants. */
static int
allowed_cores(void)
{
    enum { MOST = 1 << 20 };
    int count = 0, reason = EINVAL;
    for (int cores = CPU_SETSIZE; count == 0 && reason == EINVAL && cores <= MOST; cores *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cores);
        const size_t bytes = CPU_ALLOC_SIZE((size_t)cores);
        if (!set)
            return 0;
        if (sched_getaffinity(0, bytes, set) == 0)
            count = CPU_COUNT_S(bytes, set);
        reason = errno;
        CPU_FREE(set);
    }
    return count;
}

RtCores
rt_cores_look(void)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const int cores = online > INT_MAX ? INT_MAX : (int)online, allowed = allowed_cores();
    const RtQuota quota = rt_quota_find("");
    return rt_cores_of(cores, allowed > 0 ? allowed : cores, &quota);
}

int
rt_cores(void)
{
    return rt_cores_look().count;
}

bool
rt_threads_resolve(int *threads)
{
    if (*threads < 0 || *threads > RT_MAX_THREADS)
        return false;
    if (*threads == 0)
        *threads = rt_cores();
    return true;
}
