/* tests/runner.c -- runs the sectioned .t files of tests/passes and tests/frontend.
 *
 * Text before the first section says what the file tests. Sections start with a line of their own:
 *   --ARGS--       arguments for ssmc, in words; "..." holds one word with spaces
 *   --IN EXT--     input, in a temporary file that is @IN@ elsewhere; EXT (default ir) is its
 *                  extension
 *   --FILE NAME--  another file: @TMP@/NAME
 *   --STDIN--      what the command reads
 *   --EXPECT--     all of stdout
 *   --CONTAINS--   lines that must be somewhere in stdout; --LACKS--: that must not be
 *   --ERR--        lines that must be somewhere in stderr
 *   --EXIT--       exit status, 0 without this section
 *   --COUNT--      pairs `word N`: how often an op is in the graph on stdout; `kernel N`: how many
 *                  kernels are
 * A line `include FILE KEY=VALUE ...` of an input stands for tests/graphs/FILE, where each @KEY@ is
 * replaced by its value ("..." holds one with spaces); @MORE@ is empty unless it is given.
 * @ROOT@ is the project's folder. Empty lines that end a section count for nothing. With --bless
 * (or SSMC_BLESS=1) EXPECT is rewritten with what came out. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/util.h"
#include "tests/harness.h"

/* ---- a test file --------------------------------------------------------------------------- */

typedef enum { ARGS, IN, EXTRA_FILE, STDIN, EXPECT, CONTAINS, LACKS, ERR, EXIT, COUNT } SectionKind;

static const char *const section_name[] = {
    [ARGS] = "ARGS",     [IN] = "IN",       [EXTRA_FILE] = "FILE",   [STDIN] = "STDIN",
    [EXPECT] = "EXPECT", [LACKS] = "LACKS", [CONTAINS] = "CONTAINS", [ERR] = "ERR",
    [EXIT] = "EXIT",     [COUNT] = "COUNT",
};

typedef struct {
    SectionKind kind;
    const char *arg;  /* IN: extension; FILE: name; otherwise "" */
    const char *text; /* without the empty lines at its end */
    size_t from, len; /* where text is in the file */
} Section;

typedef struct {
    Arena *arena;
    const char *path;
    const char *text;
    Section *sections;
    int count, cap;
    char *dir;      /* temporary files */
    const char *in; /* path of @IN@ */
    StrBuf faults;  /* empty: the test passed */
} TestFile;

/* "--NAME--" or "--NAME arg--" as a whole line. */
static bool
is_header(TestFile *t, const char *line, size_t len, Section *out)
{
    char name[16] = "", arg[64] = "";
    int end = 0;
    char *copy = arena_strndup(t->arena, line, len);
    const bool plain = sscanf(copy, "--%15[A-Z]--%n", name, &end) == 1 && end > 0;
    if (!plain)
        (void)sscanf(copy, "--%15[A-Z] %63[A-Za-z0-9._]--%n", name, arg, &end);
    if (end == 0 || (size_t)end != len)
        return false;
    for (size_t i = 0; i < COUNT_OF(section_name); i++) {
        if (strcmp(name, section_name[i]) != 0)
            continue;
        *out = (Section){.kind = (SectionKind)i, .arg = arena_strdup(t->arena, arg)};
        return true;
    }
    sb_printf(&t->faults, "no section is called %s\n", name);
    return false;
}

static void
end_section(TestFile *t, size_t end)
{
    if (t->count == 0)
        return;
    Section *s = &t->sections[t->count - 1];
    while (end > s->from + 1 && t->text[end - 1] == '\n' && t->text[end - 2] == '\n')
        end--;
    if (end == s->from + 1 && t->text[s->from] == '\n')
        end--;
    s->len = end - s->from;
    s->text = arena_strndup(t->arena, t->text + s->from, s->len);
}

static void
find_sections(TestFile *t)
{
    size_t at = 0;
    while (t->text[at] != '\0') {
        const size_t len = strcspn(t->text + at, "\n");
        const size_t next = at + len + (t->text[at + len] == '\n');
        Section section;
        if (is_header(t, t->text + at, len, &section)) {
            end_section(t, at);
            section.from = next;
            VEC_PUSH(t->arena, t->sections, t->count, t->cap, section);
        }
        at = next;
    }
    end_section(t, at);
}

static const Section *
find_section(const TestFile *t, SectionKind kind)
{
    for (int i = 0; i < t->count; i++)
        if (t->sections[i].kind == kind)
            return &t->sections[i];
    return NULL;
}

/* ---- running it ---------------------------------------------------------------------------- */

static char *
take(TestFile *t, char *owned)
{
    char *copy = arena_strdup(t->arena, owned);
    free(owned);
    return copy;
}

static const char *
expand(TestFile *t, const char *text)
{
    if (t->in != NULL)
        text = take(t, text_replace(text, "@IN@", t->in));
    text = take(t, text_replace(text, "@TMP@", t->dir));
    return take(t, text_replace(text, "@ROOT@", SSMC_ROOT));
}

/* Paths of this run out, placeholders in. */
static const char *
normalise(TestFile *t, const char *text)
{
    if (t->in != NULL)
        text = take(t, text_replace(text, t->in, "@IN@"));
    text = take(t, text_replace(text, t->dir, "@TMP@"));
    return take(t, text_replace(text, SSMC_ROOT, "@ROOT@"));
}

/* The text of `FILE KEY=VALUE ...`. */
static const char *
included(TestFile *t, const char *line)
{
    const char *name = arena_strndup(t->arena, line, strcspn(line, " "));
    char *whole = read_whole(arena_printf(t->arena, "%s/tests/graphs/%s", SSMC_ROOT, name), NULL);
    if (whole == NULL) {
        sb_printf(&t->faults, "there is no tests/graphs/%s\n", name);
        return "";
    }
    const char *text = take(t, whole);
    for (line += strlen(name); *(line += strspn(line, " ")) != '\0';) {
        const size_t key = strcspn(line, "=");
        const char *mark = arena_printf(t->arena, "@%.*s@", (int)key, line);
        if (line[key] != '=' || strstr(text, mark) == NULL) {
            sb_printf(&t->faults, "tests/graphs/%s has no %s\n", name, mark);
            return "";
        }
        const bool quoted = line[key + 1] == '"';
        const char *value = line + key + 1 + quoted;
        const size_t len = strcspn(value, quoted ? "\"" : " ");
        text = take(t, text_replace(text, mark, arena_strndup(t->arena, value, len)));
        line = value + len + quoted;
    }
    return take(t, text_replace(text, "@MORE@", ""));
}

/* An input with its include lines replaced. */
static const char *
input_text(TestFile *t, const char *text)
{
    StrBuf out = {0};
    for (size_t len; *text != '\0'; text += len) {
        len = strcspn(text, "\n");
        len += text[len] == '\n';
        if (strncmp(text, "include ", 8) != 0)
            sb_putn(&out, text, len);
        else
            sb_puts(&out, included(t, arena_strndup(t->arena, text + 8, strcspn(text + 8, "\n"))));
    }
    return sb_finish(&out, t->arena);
}

static void
write_inputs(TestFile *t)
{
    for (int i = 0; i < t->count; i++) {
        const Section *s = &t->sections[i];
        if (s->kind != IN && s->kind != EXTRA_FILE)
            continue;
        const char *name = s->kind == EXTRA_FILE
                               ? s->arg
                               : arena_printf(t->arena, "in.%s", *s->arg ? s->arg : "ir");
        char *path = take(t, path_join(t->dir, name));
        if (s->kind == IN)
            t->in = path;
        const char *text = input_text(t, s->text);
        if (!write_whole(path, text, strlen(text)))
            sb_printf(&t->faults, "cannot write %s\n", path);
    }
}

/* The words of --ARGS-- after the command's path, NULL at the end. */
static const char **
arguments(TestFile *t, const char *text)
{
    const char **argv = NULL;
    int count = 0, cap = 0;
    VEC_PUSH(t->arena, argv, count, cap, SSMC_BINARY);
    for (text += strspn(text, " \t\n"); *text != '\0'; text += strspn(text, " \t\n")) {
        const bool quoted = *text == '"';
        text += quoted;
        const size_t len = strcspn(text, quoted ? "\"" : " \t\n");
        VEC_PUSH(t->arena, argv, count, cap, expand(t, arena_strndup(t->arena, text, len)));
        text += len;
        text += quoted && *text == '"';
    }
    VEC_PUSH(t->arena, argv, count, cap, NULL);
    return argv;
}

/* ---- what came out ------------------------------------------------------------------------- */

typedef void EachLine(TestFile *t, const char *line, const char *output);

static void
for_lines(TestFile *t, SectionKind kind, const char *output, EachLine *check)
{
    const Section *s = find_section(t, kind);
    for (const char *at = s ? s->text : ""; *at != '\0';) {
        const size_t len = strcspn(at, "\n");
        if (len > 0)
            check(t, arena_strndup(t->arena, at, len), output);
        at += len + (at[len] == '\n');
    }
}

static void
check_contains(TestFile *t, const char *line, const char *output)
{
    if (strstr(output, line) == NULL)
        sb_printf(&t->faults, "not in the output: %s\n", line);
}

static void
check_lacks(TestFile *t, const char *line, const char *output)
{
    if (strstr(output, line) != NULL)
        sb_printf(&t->faults, "should not be in the output: %s\n", line);
}

/* Nodes are printed as `names = op(...)`, kernels as lines that start with `kernel`. */
static int
count_nodes(TestFile *t, const char *op, const char *output)
{
    const char *text = arena_printf(t->arena, "= %s(", op);
    int count = 0;
    for (; (output = strstr(output, text)) != NULL; output += strlen(text))
        count++;
    return count;
}

static int
count_kernels(const char *output)
{
    int count = 0;
    for (; *output != '\0'; output += strcspn(output, "\n"), output += *output == '\n')
        count += strncmp(output + strspn(output, " "), "kernel ", 7) == 0;
    return count;
}

static void
check_count(TestFile *t, const char *line, const char *output)
{
    char word[64];
    int expected, length;
    for (; sscanf(line, " %63s %d%n", word, &expected, &length) == 2; line += length) {
        const int found =
            strcmp(word, "kernel") == 0 ? count_kernels(output) : count_nodes(t, word, output);
        if (found != expected)
            sb_printf(&t->faults, "%s: %d times, expected %d\n", word, found, expected);
    }
    if (line[strspn(line, " \t")] != '\0')
        sb_printf(&t->faults, "--COUNT--: expected `word N`, found: %s\n", line);
}

static void
check_status(TestFile *t, const CommandResult *r, const char *err)
{
    const Section *s = find_section(t, EXIT);
    const int expected = s ? atoi(s->text) : 0;
    if (r->hung)
        sb_printf(&t->faults, "it slept for %d seconds and was killed\n", IDLE_SECONDS);
    if (r->status != expected)
        sb_printf(&t->faults, "exit status %d, expected %d; stderr:\n%s\n", r->status, expected,
                  err);
}

/* The file with new text as its EXPECT. */
static void
bless(TestFile *t, const Section *expect, const char *output)
{
    StrBuf text = {0};
    sb_putn(&text, t->text, expect->from);
    sb_puts(&text, output);
    sb_puts(&text, t->text + expect->from + expect->len);
    if (!write_whole(t->path, text.text, text.len))
        sb_printf(&t->faults, "cannot write %s\n", t->path);
    sb_free(&text);
}

static void
check_expect(TestFile *t, const char *output)
{
    const Section *expect = find_section(t, EXPECT);
    if (expect == NULL)
        return;
    size_t len = strlen(output); /* less its last empty lines */
    while (len > 1 && output[len - 1] == '\n' && output[len - 2] == '\n')
        len--;
    const char *trimmed = arena_strndup(t->arena, output, len);
    if (strcmp(expect->text, trimmed) == 0)
        return;
    if (getenv("SSMC_BLESS") != NULL) {
        bless(t, expect, trimmed);
        return;
    }
    char *diff = text_diff(expect->text, trimmed);
    sb_printf(&t->faults, "stdout is not as expected (- expected, + found):\n%s", diff);
    if (*diff == '\0')
        sb_puts(&t->faults, "(only the last newline differs)\n");
    free(diff);
}

static void
check_all(TestFile *t, const CommandResult *r)
{
    const char *out = normalise(t, r->out), *err = normalise(t, r->err);
    check_status(t, r, err);
    check_expect(t, out);
    for_lines(t, CONTAINS, out, check_contains);
    for_lines(t, LACKS, out, check_lacks);
    for_lines(t, COUNT, out, check_count);
    const size_t before = t->faults.len;
    for_lines(t, ERR, err, check_contains);
    if (t->faults.len > before)
        sb_printf(&t->faults, "stderr:\n%s\n", err);
}

static void
run_sections(TestFile *t)
{
    t->dir = temp_dir();
    write_inputs(t);
    const Section *args = find_section(t, ARGS), *input = find_section(t, STDIN);
    if (args == NULL) {
        sb_puts(&t->faults, "there is no --ARGS-- section\n");
    } else {
        CommandResult r =
            command_run(arguments(t, args->text), input ? input->text : "", input ? input->len : 0);
        check_all(t, &r);
        command_free(&r);
    }
    temp_dir_remove(t->dir);
}

static void
run_file(const char *path)
{
    char *text = read_whole(path, NULL);
    cr_assert(text != NULL, "%s cannot be read", path);
    TestFile t = {.arena = arena_new(), .path = path, .text = text};
    find_sections(&t);
    run_sections(&t);
    cr_expect(t.faults.len == 0, "%s\n%s", path, sb_text(&t.faults));
    sb_free(&t.faults);
    arena_free(t.arena);
    free(text);
}

/* ---- every file of a folder ---------------------------------------------------------------- */

/* Parameters travel to the process of a test, so they hold their text themselves. */
typedef struct {
    char path[512];
} TestPath;

static int
by_path(const void *a, const void *b)
{
    return strcmp(((const TestPath *)a)->path, ((const TestPath *)b)->path);
}

static bool
is_test(const char *name)
{
    const size_t len = strlen(name);
    return len > 2 && strcmp(name + len - 2, ".t") == 0;
}

static void
free_paths(struct criterion_test_params *params)
{
    cr_free(params->params);
}

/* At most `most` test files of a folder into paths, or only counted where paths is NULL. */
static size_t
list_tests(const char *dir, size_t most, TestPath *paths)
{
    size_t count = 0;
    DIR *entries = opendir(dir);
    for (const struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;) {
        if (count == most || !is_test(e->d_name))
            continue;
        if (paths != NULL)
            snprintf(paths[count].path, sizeof paths->path, "%.400s/%.100s", dir, e->d_name);
        count++;
    }
    if (entries != NULL)
        closedir(entries);
    return count;
}

static struct criterion_test_params
files_of(const char *folder)
{
    char dir[400];
    snprintf(dir, sizeof dir, "%s/tests/%s", SSMC_ROOT, folder);
    const size_t most = list_tests(dir, SIZE_MAX, NULL);
    TestPath *paths = cr_malloc((most + 1) * sizeof *paths); /* cr_realloc may return NULL */
    const size_t count = list_tests(dir, most, paths);
    qsort(paths, count, sizeof *paths, by_path);
    return cr_make_param_array(TestPath, paths, count, free_paths);
}

#define TEST_FOLDER(folder)                                                                        \
    ParameterizedTestParameters(sections, folder)                                                  \
    {                                                                                              \
        return files_of(#folder);                                                                  \
    }                                                                                              \
    ParameterizedTest(TestPath *file, sections, folder)                                            \
    {                                                                                              \
        run_file(file->path);                                                                      \
    }

TEST_FOLDER(passes)
TEST_FOLDER(frontend)

int
main(int argc, char **argv)
{
    int kept = 0;
    /* No choice by what the user has measured; and no tool that a test runs makes that folder. */
    setenv("XDG_CACHE_HOME", "/dev/null", 1);
    for (int i = 0; i < argc; i++) {
        if (i > 0 && strcmp(argv[i], "--bless") == 0)
            setenv("SSMC_BLESS", "1", 1);
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    struct criterion_test_set *tests = criterion_initialize();
    bool passed = true;
    if (criterion_handle_args(kept, argv, true)) {
        end_what_hangs();
        passed = criterion_run_all_tests(tests);
    }
    criterion_finalize(tests);
    return passed ? 0 : 1;
}
