/* tests/unit/test_cores.c -- how many threads there should be: quotas of control groups, over trees
 * of files that look like /proc and /sys of machines of several kinds. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "runtime/internal.h"
#include "tests/harness.h"

#define MOUNT_V2 "40 1 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define MOUNT_V1                                                                                   \
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup "                \
    "rw,cpu,cpuacct\n"
#define OTHERS                                                                                     \
    "23 1 0:5 / / rw - ext4 /dev/root rw\n"                                                        \
    "33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"

typedef struct {
    const char *path, *text;
} File;

/* DIR/path with the folders above it. */
static void
put_file(const char *dir, const File *f)
{
    char *path = path_join(dir, f->path);
    for (char *at = path + strlen(dir) + 1; (at = strchr(at, '/')) != NULL; *at++ = '/') {
        *at = '\0';
        mkdir(path, 0777);
    }
    cr_assert(write_whole(path, f->text, strlen(f->text)), "%s", path);
    free(path);
}

static void
expect_quota(const char *what, const File *files, double cpus, const char *group)
{
    char *dir = temp_dir();
    for (; files->path; files++)
        put_file(dir, files);
    const RtQuota quota = rt_quota_find(dir);
    cr_expect(quota.cpus == cpus, "%s: %g CPUs, expected %g", what, quota.cpus, cpus);
    cr_expect_str_eq(quota.group.text, group, "%s: %s", what, quota.group.text);
    temp_dir_remove(dir);
}

#define QUOTA(what, cpus, group, ...)                                                              \
    expect_quota(what,                                                                             \
                 (const File[]){                                                                   \
                     __VA_ARGS__, {NULL, NULL} \
    },                                                   \
                 cpus, group)
#define GROUP(text)   {"proc/self/cgroup", text}
#define MOUNTS(text)  {"proc/self/mountinfo", OTHERS text}
#define V2(dir, text) {"sys/fs/cgroup" dir "/cpu.max", text}
#define V1(dir, quota, period)                                                                     \
    {"sys/fs/cgroup/cpu,cpuacct" dir "/cpu.cfs_quota_us", quota},                                  \
    {                                                                                              \
        "sys/fs/cgroup/cpu,cpuacct" dir "/cpu.cfs_period_us", period                               \
    }

Test(cores, quotas_of_version_2)
{
    QUOTA("own group", 2.5, "/system.slice/x", GROUP("0::/system.slice/x\n"), MOUNTS(MOUNT_V2),
          V2("/system.slice/x", "250000 100000\n"));
    QUOTA("a group above is tighter", 1.5, "/system.slice", GROUP("0::/system.slice/x/y\n"),
          MOUNTS(MOUNT_V2), V2("/system.slice/x/y", "400000 100000\n"),
          V2("/system.slice/x", "max 100000\n"), V2("/system.slice", "150000 100000\n"));
    QUOTA("the own group is tighter", 3, "/a/b", GROUP("0::/a/b\n"), MOUNTS(MOUNT_V2),
          V2("/a/b", "300000 100000\n"), V2("/a", "800000 100000\n"));
    QUOTA("a group below says nothing", INFINITY, "", GROUP("0::/a\n"), MOUNTS(MOUNT_V2),
          V2("/a/b", "100000 100000\n"));
    QUOTA("a group beside says nothing", INFINITY, "", GROUP("0::/a\n"), MOUNTS(MOUNT_V2),
          V2("/ab", "100000 100000\n"), V2("/b", "100000 100000\n"));
    QUOTA("a container: its top is its group", 2, "/", GROUP("0::/\n"), MOUNTS(MOUNT_V2),
          V2("", "20000 10000\n"));
    QUOTA("a group outside the namespace", 4, "/", GROUP("0::/../other\n"), MOUNTS(MOUNT_V2),
          V2("", "400000 100000\n"));
    QUOTA("a part of the tree is mounted", 2, "/in", GROUP("0::/docker/abc/in\n"),
          MOUNTS("40 1 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
          V2("/in", "200000 100000\n"), V2("", "500000 100000\n"));
    QUOTA("a part beside the own group", 5, "/", GROUP("0::/docker/abcd\n"),
          MOUNTS("40 1 0:38 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
          V2("", "500000 100000\n"), V2("d", "100000 100000\n"));
    QUOTA("another place", 2, "/a", GROUP("0::/a\n"),
          MOUNTS("40 1 0:38 / /my\\040groups rw - cgroup2 none rw\n"),
          {"my groups/a/cpu.max", "200000 100000\n"});
}

Test(cores, quotas_of_version_1)
{
    QUOTA("own group", 0.5, "/x", GROUP("4:memory:/m\n2:cpu,cpuacct:/x\n"), MOUNTS(MOUNT_V1),
          V1("/x", "50000\n", "100000\n"));
    QUOTA("order of controllers", 2, "/x", GROUP("2:cpuacct,cpu:/x\n"), MOUNTS(MOUNT_V1),
          V1("/x", "100000\n", "50000\n"));
    QUOTA("no quota", INFINITY, "", GROUP("2:cpu,cpuacct:/x\n"), MOUNTS(MOUNT_V1),
          V1("/x", "-1\n", "100000\n"));
    QUOTA("a group above is tighter", 1, "/job", GROUP("2:cpu,cpuacct:/job/step\n"),
          MOUNTS(MOUNT_V1), V1("/job/step", "-1\n", "100000\n"),
          V1("/job", "100000\n", "100000\n"));
    QUOTA("cpuset is no quota", INFINITY, "", GROUP("3:cpuset:/x\n"),
          MOUNTS("32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpuset\n"),
          V1("/x", "100000\n", "100000\n"));
    QUOTA("a container sees its own part", 3, "/", GROUP("2:cpu,cpuacct:/docker/abc\n"),
          MOUNTS("32 31 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup "
                 "rw,cpu,cpuacct\n"),
          V1("", "300000\n", "100000\n"));
    QUOTA("one of two files", INFINITY, "", GROUP("2:cpu,cpuacct:/x\n"), MOUNTS(MOUNT_V1),
          {"sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "100000\n"});
}

Test(cores, both_versions_and_neither)
{
    QUOTA("hybrid: version 1 is tighter", 2, "/one",
          GROUP("2:cpu,cpuacct:/one\n1:name=systemd:/s\n0::/two\n"), MOUNTS(MOUNT_V1 MOUNT_V2),
          V1("/one", "200000\n", "100000\n"), V2("/two", "300000 100000\n"));
    QUOTA("hybrid: version 2 is tighter", 1, "/two", GROUP("2:cpu,cpuacct:/one\n0::/two\n"),
          MOUNTS(MOUNT_V1 MOUNT_V2), V1("/one", "200000\n", "100000\n"),
          V2("/two", "100000 100000\n"));
    QUOTA("nothing at all", INFINITY, "", {"etc", ""});
    QUOTA("no /proc", 2, "/", V2("", "200000 100000\n"));
    QUOTA("no /proc, version 1", 2, "/", V1("", "200000\n", "100000\n"));
    QUOTA("no mountinfo", 2, "/a", GROUP("0::/a\n"), V2("/a", "200000 100000\n"));
    QUOTA("no files of the group", INFINITY, "", GROUP("0::/a\n"), MOUNTS(MOUNT_V2));
}

Test(cores, what_is_no_quota_sets_no_bound)
{
    static const char *const texts[] = {"",         "max\n",       "max 100000\n", "abc\n",
                                        "100000\n", "100000 0\n",  "0 100000\n",   "-5 100000\n",
                                        "\n\n",     "1e5 100000\n"};
    for (size_t i = 0; i < RT_COUNT(texts); i++)
        QUOTA(texts[i], INFINITY, "", GROUP("0::/a\n"), MOUNTS(MOUNT_V2), V2("/a", texts[i]));
    QUOTA("malformed groups", 2, "/", GROUP("\n0\n0:\n::\n0::relative\n7:cpu\n"), MOUNTS(MOUNT_V2),
          V2("", "200000 100000\n"));
    QUOTA("malformed mounts", 2, "/a", GROUP("0::/a\n"),
          MOUNTS("\n - \n1 - cgroup2\n1 2 3 - cgroup2 x rw\n40 1 0:38 / - cgroup2 x rw\n" MOUNT_V2),
          V2("/a", "200000 100000\n"));
}

static void
expect_cores(int online, int allowed, double cpus, int count, const char *why)
{
    const RtQuota quota = {.cpus = cpus, .group = {"/system.slice/x"}};
    const RtCores c = rt_cores_of(online, allowed, &quota);
    cr_expect_eq(c.count, count, "%d, %d, %g: %d threads", online, allowed, cpus, c.count);
    cr_expect_str_eq(c.why, why);
}

Test(cores, quotas_are_rounded_down_to_at_least_one)
{
    expect_cores(8, 8, INFINITY, 8, "cores online");
    expect_cores(8, 3, INFINITY, 3, "CPU affinity");
    expect_cores(-1, 3, INFINITY, 3, "CPU affinity");
    expect_cores(-1, -1, INFINITY, 1, "CPU affinity");
    expect_cores(8, 8, 7.65, 7, "cgroup quota 7.65 CPUs of /system.slice/x");
    expect_cores(8, 8, 2.5, 2, "cgroup quota 2.5 CPUs of /system.slice/x");
    expect_cores(8, 8, 0.2, 1, "cgroup quota 0.2 CPUs of /system.slice/x");
    expect_cores(8, 2, 2.5, 2, "CPU affinity");
    expect_cores(8, 2, 1.5, 1, "cgroup quota 1.5 CPUs of /system.slice/x");
    expect_cores(4096, 4096, INFINITY, 1024, "the most there can be");
    expect_cores(4096, 4096, 1e12, 1024, "the most there can be");
}
