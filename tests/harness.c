/* tests/harness.c -- see harness.h. */
#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"

/* ---- running a command --------------------------------------------------------------------- */

/* An unlinked file: unlike a pipe it never blocks the one who writes. */
static FILE *
temp_file(const void *data, size_t len)
{
    FILE *file = tmpfile();
    if (file == NULL || fwrite(data, 1, len, file) != len || fflush(file) != 0)
        die("temporary file: %s", strerror(errno));
    rewind(file);
    return file;
}

static char *
take_file(FILE *file, size_t *len)
{
    StrBuf text = {0};
    char block[4096];
    rewind(file);
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;)
        sb_putn(&text, block, n);
    fclose(file);
    *len = text.len;
    sb_puts(&text, "");
    return text.text != NULL ? text.text : calloc(1, 1);
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The child's own process group, so that killing it reaches what it started. */
static pid_t
spawn(const char *const *argv, FILE *in, FILE *out, FILE *err)
{
    fflush(NULL);
    const pid_t child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child > 0)
        return child;
    setpgid(0, 0);
    if (dup2(fileno(in), 0) < 0 || dup2(fileno(out), 1) < 0 || dup2(fileno(err), 2) < 0)
        _exit(127);
    execv(argv[0], (char *const *)argv); /* execv does not write to them */
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* Exit status of a child, killed when it takes too long. */
static int
wait_for(pid_t child, bool *timed_out)
{
    const struct timespec nap = {.tv_nsec = 2000000};
    const double end = seconds() + (double)COMMAND_SECONDS;
    int status = 0;
    pid_t got;
    while ((got = waitpid(child, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (seconds() > end && !*timed_out) {
            *timed_out = true;
            kill(-child, SIGKILL);
        }
        nanosleep(&nap, NULL);
    }
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

CommandResult
command_run(const char *const *argv, const void *input, size_t input_len)
{
    FILE *in = temp_file(input != NULL ? input : "", input_len);
    FILE *out = temp_file("", 0), *err = temp_file("", 0);
    CommandResult result = {0};
    result.status = wait_for(spawn(argv, in, out, err), &result.timed_out);
    fclose(in);
    result.out = take_file(out, &result.out_len);
    result.err = take_file(err, &result.err_len);
    return result;
}

void
command_free(CommandResult *result)
{
    free(result->out);
    free(result->err);
}

/* ---- files --------------------------------------------------------------------------------- */

char *
temp_dir(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = path_join(base != NULL ? base : "/tmp", "ssmc-test-XXXXXX");
    if (mkdtemp(dir) == NULL)
        die("%s: %s", dir, strerror(errno));
    return dir;
}

void
temp_dir_remove(char *dir)
{
    DIR *entries = opendir(dir);
    if (entries != NULL) {
        for (const struct dirent *e; (e = readdir(entries)) != NULL;) {
            char *path = path_join(dir, e->d_name);
            (void)unlink(path); /* fails on . and .. */
            free(path);
        }
        closedir(entries);
    }
    rmdir(dir);
    free(dir);
}

char *
path_join(const char *dir, const char *name)
{
    StrBuf path = {0};
    sb_printf(&path, "%s/%s", dir, name);
    return path.text;
}

char *
read_whole(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return NULL;
    size_t bytes;
    return take_file(file, len != NULL ? len : &bytes);
}

bool
write_whole(const char *path, const void *data, size_t len)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL)
        return false;
    const bool written = fwrite(data, 1, len, file) == len;
    return fclose(file) == 0 && written;
}

/* ---- text ---------------------------------------------------------------------------------- */

char *
text_replace(const char *text, const char *from, const char *to)
{
    StrBuf out = {0};
    sb_puts(&out, "");
    for (const char *found; (found = strstr(text, from)) != NULL; text = found + strlen(from)) {
        sb_putn(&out, text, (size_t)(found - text));
        sb_puts(&out, to);
    }
    sb_puts(&out, text);
    return out.text != NULL ? out.text : calloc(1, 1);
}

typedef struct {
    const char **line; /* each ends at a newline or a NUL */
    size_t count;
} Lines;

static Lines
lines_of(Arena *arena, const char *text)
{
    size_t count = 0;
    for (const char *c = text; *c != '\0'; c++)
        count += *c == '\n' || c[1] == '\0';
    Lines lines = {arena_array(arena, count + 1, sizeof *lines.line), 0};
    for (const char *c = text; *c != '\0';) {
        lines.line[lines.count++] = c;
        c += strcspn(c, "\n");
        c += *c == '\n';
    }
    return lines;
}

static bool
line_equal(const char *a, const char *b)
{
    const size_t len = strcspn(a, "\n");
    return strcspn(b, "\n") == len && memcmp(a, b, len) == 0;
}

static void
put_line(StrBuf *out, char mark, const char *line)
{
    sb_printf(out, "%c %.*s\n", mark, (int)strcspn(line, "\n"), line);
}

/* The part of two texts between their equal beginnings and ends. */
typedef struct {
    Lines a, b;
    size_t from, a_end, b_end;
} Middle;

/* Shortest edit of the middle. table[i][j]: longest common subsequence of what follows i and j. */
static void
put_edit(StrBuf *out, const Middle *m, Arena *arena)
{
    const size_t n = m->a_end - m->from, k = m->b_end - m->from, stride = k + 1;
    const bool small = n < 2000 && k < 2000; /* else: all of a's lines, then all of b's */
    int *table = arena_array(arena, small ? (n + 1) * stride : 1, sizeof *table);
    const char **a = m->a.line + m->from, **b = m->b.line + m->from;
    for (size_t i = n; small && i-- > 0;)
        for (size_t j = k; j-- > 0;) {
            const int down = table[(i + 1) * stride + j], right = table[i * stride + j + 1];
            table[i * stride + j] = line_equal(a[i], b[j]) ? table[(i + 1) * stride + j + 1] + 1
                                    : down > right         ? down
                                                           : right;
        }
    for (size_t i = 0, j = 0; i < n || j < k;) {
        if (small && i < n && j < k && line_equal(a[i], b[j])) {
            put_line(out, ' ', a[i++]);
            j++;
            continue;
        }
        const bool from_a =
            j == k ||
            (i < n && (!small || table[(i + 1) * stride + j] >= table[i * stride + j + 1]));
        put_line(out, from_a ? '-' : '+', from_a ? a[i++] : b[j++]);
    }
}

char *
text_diff(const char *a, const char *b)
{
    const size_t around = 3;
    StrBuf out = {0};
    sb_puts(&out, "");
    Arena *arena = arena_new();
    Middle m = {.a = lines_of(arena, a), .b = lines_of(arena, b)};
    m.a_end = m.a.count, m.b_end = m.b.count;
    while (m.from < m.a_end && m.from < m.b_end && line_equal(m.a.line[m.from], m.b.line[m.from]))
        m.from++;
    while (m.a_end > m.from && m.b_end > m.from &&
           line_equal(m.a.line[m.a_end - 1], m.b.line[m.b_end - 1]))
        m.a_end--, m.b_end--;
    if (m.from < m.a_end || m.from < m.b_end) {
        for (size_t i = m.from > around ? m.from - around : 0; i < m.from; i++)
            put_line(&out, ' ', m.a.line[i]);
        put_edit(&out, &m, arena);
        for (size_t i = m.a_end; i < m.a.count && i < m.a_end + around; i++)
            put_line(&out, ' ', m.a.line[i]);
    }
    arena_free(arena);
    return out.text != NULL ? out.text : calloc(1, 1);
}
