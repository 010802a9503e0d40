/* tests/unit/test_output.c -- files written whole or not at all, and the names they have until
 * then: what a killed process left is removed, what a living one writes is not. */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/harness.h"

#define OK(call) cr_assert_eq((call), SSMC_OK, "%s", ssmc_error())

static void
expect_content(const char *path, const char *want, size_t len)
{
    size_t n = 0;
    char *text = read_whole(path, &n);
    cr_expect(text && n == len && memcmp(text, want, len) == 0, "%s", path);
    free(text);
}

Test(output, files_are_written_whole)
{
    char *dir = temp_dir(), *path = path_join(dir, "file"), *link = path_join(dir, "link");
    struct stat st;
    OK(rt_file_write(path, "first", 5));
    cr_assert(chmod(path, 0640) == 0 && symlink("file", link) == 0);
    OK(rt_file_write(link, "a\0b", 3));
    expect_content(path, "a\0b", 3);
    cr_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode), "the link stays");
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0640, "the mode of a replaced file is kept");
    OK(rt_file_write("/dev/null", "x", 1));
    cr_expect_eq(temporaries(dir), 0);
    free(link);
    free(path);
    temp_dir_remove(dir);
}

Test(output, places_that_cannot_be_written)
{
    char *dir = temp_dir(), *missing = path_join(dir, "no/such/file");
    cr_expect_eq(rt_file_write(dir, "x", 1), SSMC_IO);
    cr_expect(strstr(ssmc_error(), "Is a directory"), "%s", ssmc_error());
    cr_expect_eq(rt_file_write(missing, "x", 1), SSMC_IO);
    cr_expect(strstr(ssmc_error(), "cannot write") && strstr(ssmc_error(), "No such file"), "%s",
              ssmc_error());
    free(missing);
    temp_dir_remove(dir);
}

Test(output, what_is_not_finished_is_thrown_away)
{
    char *dir = temp_dir(), *path = path_join(dir, "file");
    RtOutput out;
    OK(rt_file_write(path, "old", 3));
    OK(rt_output_open(path, &out));
    cr_assert(rt_output_put(&out, "new", 3));
    cr_expect_eq(temporaries(dir), 1);
    expect_content(path, "old", 3);
    cr_expect_eq(rt_output_close(&out, false), SSMC_IO);
    expect_content(path, "old", 3);
    cr_expect_eq(temporaries(dir), 0);
    free(path);
    temp_dir_remove(dir);
}

Test(output, names)
{
    static const struct {
        const char *name;
        bool is;
    } names[] = {
        {"m.so.12-0.tmp",      true },
        {"a-b.state.1-99.tmp", true },
        {".1-0.tmp",           true },
        {"m.so.tmp",           false},
        {"m.so.12.tmp",        false},
        {"m.12-.tmp",          false},
        {"m.-1.tmp",           false},
        {"m.12-0.tmp2",        false},
        {"12-0.tmp",           false},
        {"m.1x-0.tmp",         false},
        {"",                   false},
        {"-",                  false},
    };
    for (size_t i = 0; i < RT_COUNT(names); i++)
        cr_expect_eq(rt_is_temporary(names[i].name), names[i].is, "%s", names[i].name);
}

/* A process that is killed while it writes a file and a folder of that name. */
static pid_t
writer(const char *path)
{
    int ready[2];
    char byte = 0;
    cr_assert_eq(pipe(ready), 0);
    const pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        RtOutput out;
        RtTemporary folder;
        const bool ok = rt_output_open(path, &out) == SSMC_OK && rt_output_put(&out, "part", 4) &&
                        rt_temporary_open(path, true, &folder);
        char *inner = ok ? path_join(folder.name, "inner") : NULL;
        char *file = inner && mkdir(inner, 0777) == 0 ? path_join(inner, "file") : NULL;
        if (!file || !write_whole(file, "x", 1) || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1, "the writer failed");
    close(ready[0]);
    return child;
}

Test(output, what_the_dead_left_is_removed)
{
    char *dir = temp_dir(), *path = path_join(dir, "file"), *near = path_join(dir, "file2");
    const pid_t one = writer(path), two = writer(path), other = writer(near);
    cr_expect_eq(temporaries(dir), 6);
    OK(rt_file_write(path, "while they live", 15));
    cr_expect_eq(temporaries(dir), 6, "what is being written is left alone");
    kill(one, SIGKILL);
    kill(other, SIGKILL);
    waitpid(one, NULL, 0);
    waitpid(other, NULL, 0);
    OK(rt_file_write(path, "first is dead", 13));
    cr_expect_eq(temporaries(dir), 4, "of this name and of the dead alone");
    kill(two, SIGKILL);
    waitpid(two, NULL, 0);
    RtTemporary folder;
    cr_assert(rt_temporary_open(path, true, &folder));
    cr_expect_eq(temporaries(dir), 3);
    rt_temporary_close(&folder);
    OK(rt_file_write(near, "x", 1));
    cr_expect_eq(temporaries(dir), 0);
    expect_content(path, "first is dead", 13);
    free(path);
    free(near);
    temp_dir_remove(dir);
}

/* No link out of a folder that was left is followed. */
Test(output, links_are_removed_and_not_what_they_name)
{
    char *dir = temp_dir(), *path = path_join(dir, "m"), *left = path_join(dir, "m.1-0.tmp");
    char *kept = path_join(dir, "kept"), *link = path_join(left, "link");
    char *second = path_join(dir, "m.1-1.tmp");
    cr_assert(write_whole(kept, "x", 1) && mkdir(left, 0777) == 0 && symlink("..", link) == 0 &&
              symlink("kept", second) == 0);
    OK(rt_file_write(path, "x", 1));
    cr_expect_eq(access(kept, F_OK), 0);
    cr_expect_eq(access(left, F_OK), -1);
    cr_expect_eq(temporaries(dir), 1, "a link is none of ours");
    free(second);
    free(link);
    free(kept);
    free(left);
    free(path);
    temp_dir_remove(dir);
}
