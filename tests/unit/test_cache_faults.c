/* tests/unit/test_cache_faults.c -- caches that cannot be used: a note, and the run gives what it
 * gives without them. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/internal.h"
#include "tests/aot.h"
#include "tests/model_run.h"

#define PROMPT   "Once upon a time there was a king"
#define RUN(...) SSMC_BINARY, "run", STORYTELLER, "--greedy", "-n", "5", __VA_ARGS__
/* As a user without rights, where this one has all. */
#define NOBODY "/usr/bin/env", "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"
/* No file may be longer than 4 or 8 KiB. */
#define LIMITED    "/bin/sh", "-c", "ulimit -f 8; exec \"$@\"", "sh"
#define HAVE(what) (access(what, F_OK) == 0)

static const char *const options[] = {"--cache-dir", "--pack-cache"};

static int
count(const char *text, const char *what)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

/* argv prints `text`, and one note that says so; says NULL: none. */
static void
expect_text(const char *const *argv, const char *text, const char *says)
{
    CommandResult r = command_run(argv, NULL, 0);
    cr_expect_eq(r.status, 0, "status %d: %s", r.status, r.err);
    cr_expect_str_eq(r.out, text, "%s", r.err);
    cr_expect_eq(count(r.err, "note: "), says != NULL, "%s", r.err);
    cr_expect(!says || strstr(r.err, says), "stderr lacks '%s':\n%s", says ? says : "", r.err);
    command_free(&r);
}

static char *
text_without(void)
{
    CommandResult r = command_run(ARGS(RUN("-p", PROMPT)), NULL, 0);
    cr_assert_eq(r.status, 0, "%s", r.err);
    free(r.err);
    return r.out;
}

/* The one entry of a folder; owned by the caller. */
static char *
only_file(const char *dir)
{
    char *found = NULL;
    DIR *entries = opendir(dir);
    cr_assert_not_null(entries);
    for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        cr_assert_null(found, "two files: %s, %s", found, e->d_name);
        found = path_join(dir, e->d_name);
    }
    closedir(entries);
    cr_assert_not_null(found);
    return found;
}

Test(cache_faults, places_that_cannot_be)
{
    char *text = text_without(), *dir = temp_dir();
    char *file = path_join(dir, "file"), *below = path_join(dir, "file/c");
    char *orphan = path_join(dir, "no/c");
    cr_assert(write_whole(file, "x", 1));
    const struct {
        const char *path, *says;
    } cases[] = {
        {file,          ""                         },
        {below,         "Not a directory"          },
        {orphan,        "No such file or directory"},
        {"/proc/none",  "No such file or directory"},
        {"/dev/null/c", "Not a directory"          },
    };
    for (size_t o = 0; o < RT_COUNT(options); o++)
        for (size_t i = 0; i < RT_COUNT(cases); i++) {
            char says[128];
            snprintf(says, sizeof says, "note: %s: ", options[o]);
            expect_text(ARGS(RUN("-p", PROMPT, options[o], cases[i].path)), text, says);
            expect_text(ARGS(RUN("-p", PROMPT, options[o], cases[i].path)), text, cases[i].says);
        }
    free(orphan);
    free(below);
    free(file);
    free(text);
    temp_dir_remove(dir);
}

Test(cache_faults, a_folder_is_made)
{
    char *text = text_without(), *dir = temp_dir(), *cache = path_join(dir, "new");
    for (size_t o = 0; o < RT_COUNT(options); o++) {
        expect_text(ARGS(RUN("-p", PROMPT, options[o], cache)), text, NULL);
        free(only_file(cache));
        expect_text(ARGS(RUN("-p", PROMPT, options[o], cache)), text, NULL);
        CommandResult gone = aot_tool(ARGS("rm", "-r", cache));
        cr_assert_eq(gone.status, 0, "%s", gone.err);
        command_free(&gone);
    }
    free(cache);
    free(text);
    temp_dir_remove(dir);
}

/* A file that would grow beyond the limit of the process; a full disk is the same failed write. */
Test(cache_faults, no_room)
{
    char *text = text_without(), *dir = temp_dir();
    for (size_t o = 0; o < RT_COUNT(options); o++)
        expect_text(ARGS(LIMITED, RUN("-p", PROMPT, options[o], dir)), text, "File too large");
    CommandResult list = aot_tool(ARGS("ls", "-A", dir));
    cr_expect_str_empty(list.out, "left there: %s", list.out);
    command_free(&list);
    free(text);
    temp_dir_remove(dir);
}

/* Several states of a long prompt: one note. */
Test(cache_faults, one_note_for_all_states)
{
    char *dir = temp_dir(), *prompt = path_join(dir, "prompt"), *cache = path_join(dir, "c");
    enum { TIMES = 1200, WORDS = sizeof PROMPT };
    char *text = malloc((size_t)TIMES * WORDS + 1);
    for (int i = 0; i < TIMES; i++)
        snprintf(text + (size_t)i * WORDS, WORDS + 1, "%s ", PROMPT);
    cr_assert(write_whole(prompt, text, strlen(text)));
    CommandResult want = command_run(ARGS(RUN("--prompt-file", prompt)), NULL, 0);
    expect_text(ARGS(LIMITED, RUN("--prompt-file", prompt, "--cache-dir", cache)), want.out,
                "File too large");
    command_free(&want);
    free(text);
    free(cache);
    free(prompt);
    temp_dir_remove(dir);
}

Test(cache_faults, no_rights)
{
    char *text = text_without(), *dir = temp_dir();
    const bool root = geteuid() == 0;
    CommandResult able = command_run(
        root ? ARGS(NOBODY, "test", "-x", SSMC_BINARY, "-a", "-r", STORYTELLER) : ARGS("/bin/true"),
        NULL, 0);
    const bool can = able.status == 0;
    command_free(&able);
    cr_assert_eq(chmod(dir, 0555), 0);
    for (size_t o = 0; o < RT_COUNT(options) && can; o++) {
        const char *option = options[o];
        expect_text(root ? ARGS(NOBODY, RUN("-p", PROMPT, option, dir))
                         : ARGS(RUN("-p", PROMPT, option, dir)),
                    text, "Permission denied");
        cr_assert_eq(chmod(dir, 0755), 0);
        expect_text(ARGS(RUN("-p", PROMPT, option, dir)), text, NULL);
        char *file = only_file(dir);
        cr_assert_eq(chmod(file, 0) || chmod(dir, 0555), 0);
        expect_text(root ? ARGS(NOBODY, RUN("-p", PROMPT, option, dir))
                         : ARGS(RUN("-p", PROMPT, option, dir)),
                    text, "Permission denied");
        cr_expect(HAVE(file), "a file that cannot be read is left alone");
        cr_assert_eq(chmod(dir, 0755) || unlink(file), 0);
        cr_assert_eq(chmod(dir, 0555), 0);
        free(file);
    }
    cr_assert_eq(chmod(dir, 0755), 0);
    free(text);
    temp_dir_remove(dir);
}

/* Damaged files are removed or made anew, and said; what stands in a file's place is left alone. */
Test(cache_faults, files_in_it)
{
    char *text = text_without();
    for (size_t o = 0; o < RT_COUNT(options); o++) {
        char *dir = temp_dir();
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, NULL);
        char *file = only_file(dir);
        cr_assert_eq(truncate(file, 1000), 0);
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, file);
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, NULL);
        cr_assert(write_whole(file, "anything", 8));
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, file);
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, NULL);
        cr_assert_eq(unlink(file) || mkdir(file, 0777), 0);
        expect_text(ARGS(RUN("-p", PROMPT, options[o], dir)), text, "directory");
        cr_expect(HAVE(file));
        free(file);
        temp_dir_remove(dir);
    }
    free(text);
}

Test(cache_faults, compiled_programs)
{
    char *text = text_without(), *dir = temp_dir();
    char *exe = aot_compile(AOT_STORY, dir, "story", ARGS("--emit", "exe"));
    expect_text(ARGS(exe, "-p", PROMPT, "--greedy", "-n", "5", "--pack-cache", "/dev/null/c"), text,
                "note: --pack-cache: cannot open /dev/null/c/");
    expect_text(ARGS(LIMITED, exe, "-p", PROMPT, "--greedy", "-n", "5", "--pack-cache", dir), text,
                "File too large");
    free(exe);
    free(text);
    temp_dir_remove(dir);
}

Test(cache_faults, a_model_says_what_was_wrong)
{
    ModelRun *run = MODEL_RUN(AOT_SMALL);
    char *dir = temp_dir();
    const char *const places[] = {"/dev/null/c", dir, dir};
    for (size_t i = 0; i < RT_COUNT(places); i++) {
        ssmc_model *model = NULL;
        cr_assert_eq(rt_model_open(model_run_program(run), model_run_weights(run), places[i], 1,
                                   NULL, NULL, &model),
                     SSMC_OK, "%s", ssmc_error());
        const char *warning = ssmc_model_warning(model);
        cr_expect_eq(warning != NULL, i == 0, "%zu: %s", i, warning ? warning : "nothing");
        cr_expect(!warning || strstr(warning, "/dev/null/c/"), "%s", warning);
        ssmc_model_close(model);
    }
    temp_dir_remove(dir);
    model_run_close(run);
}
