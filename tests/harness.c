/* tests/harness.c -- see harness.h. */
#include "tests/harness.h"

#include <dirent.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"

bool
thorough(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#else
    return true;
#endif
}

/* ---- running a command --------------------------------------------------------------------- */

/* An unlinked file: unlike a pipe it never blocks its writer. */
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

/* From now on this process is refused what runtime/permit.h asks for: EPERM, as of a filter that
 * knows no better. */
static bool
refuse_matrix(void)
{
#if defined(__x86_64__)
    enum { REQUEST = 0x1023 }; /* ARCH_REQ_XCOMP_PERM */
    enum { ARCH = offsetof(struct seccomp_data, arch), CALL = offsetof(struct seccomp_data, nr) };
    enum { FIRST = offsetof(struct seccomp_data, args) };
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ARCH),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 5),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CALL),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_arch_prctl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, FIRST),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, REQUEST, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = COUNT_OF(filter), .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1L, 0L, 0L, 0L) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0L, 0L) == 0;
#else
    return true; /* nothing asks */
#endif
}

/* The child's own process group, so that killing it reaches what it started; we become the parent
 * of what it leaves running, so that we can wait for its end. */
static pid_t
spawn(const char *const *argv, bool refused, FILE *in, FILE *out, FILE *err)
{
    fflush(NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1L, 0L, 0L, 0L);
    const pid_t child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child > 0) {
        setpgid(child, child); /* whichever of both comes first */
        return child;
    }
    setpgid(0, 0);
    if (dup2(fileno(in), 0) < 0 || dup2(fileno(out), 1) < 0 || dup2(fileno(err), 2) < 0)
        _exit(127);
    if (refused && !refuse_matrix())
        _exit(REFUSE_FAILED);
    execv(argv[0], (char *const *)argv); /* execv does not write to them */
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/* 0: there is no such process. */
static int
parent_of(int pid)
{
    char path[64], state = 0;
    int parent = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    char *text = read_whole(path, NULL);
    const char *after = text ? strrchr(text, ')') : NULL;
    if (!after || sscanf(after + 1, " %c %d", &state, &parent) != 2)
        parent = 0;
    free(text);
    return parent;
}

/* Of this session, or of one that a child of this process began: Criterion gives each test its own.
 */
static bool
watches_session(const Watch *watch, int session)
{
    return session == watch->session || parent_of(session) == getpid();
}

/* Adds the CPU time of one process, if it is one of those that are watched. */
static void
watch_add(const Watch *watch, const char *pid, unsigned long long *cpu, bool *awake)
{
    char path[64], state = 0;
    int group = 0, session = 0;
    unsigned long long used[4] = {0};
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    char *text = read_whole(path, NULL);
    const char *after = text ? strrchr(text, ')') : NULL; /* the name may have any character */
    const int fields =
        after ? sscanf(after + 1, " %c %*d %d %d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu",
                       &state, &group, &session, &used[0], &used[1], &used[2], &used[3])
              : 0;
    free(text);
    if (fields != 7 || !(watch->group ? group == watch->group : watches_session(watch, session)))
        return;
    for (int i = 0; i < 4; i++)
        *cpu += used[i];
    *awake |= state == 'R' || state == 'D';
}

bool
watch_hangs(Watch *watch, double passed)
{
    DIR *processes = opendir("/proc");
    unsigned long long cpu = 0;
    bool awake = processes == NULL;
    for (const struct dirent *e; processes && (e = readdir(processes)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && atoi(e->d_name) != getpid())
            watch_add(watch, e->d_name, &cpu, &awake);
    if (processes)
        closedir(processes);
    watch->idle = awake || cpu != watch->cpu ? 0 : watch->idle + passed;
    watch->cpu = cpu;
    return watch->idle >= IDLE_SECONDS;
}

static int
lines_in(const char *path)
{
    int lines = 0;
    char *text = read_whole(path, NULL);
    for (const char *c = text; c && *c; c++)
        lines += *c == '\n';
    free(text);
    return lines;
}

/* What ends a command before its own end. */
typedef struct {
    double after;     /* seconds until it is killed; below 0: it is not */
    const char *path; /* NULL, or a file: when it gets `lines` lines, `signal` is sent */
    int lines, signal;
    bool fewer; /* it had fewer, since the command began */
    bool sent, hung;
} Ending;

static void
send_signal(pid_t child, Ending *end)
{
    const bool there = lines_in(end->path) >= end->lines;
    end->sent = there && end->fewer;
    end->fewer |= !there;
    for (int i = 0; end->sent && i < 2; i++)
        kill(-child, end->signal);
}

/* Waits for a child; how many seconds it took. A machine that stops all of us for a while stops
 * this clock, too: no nap counts for more than a tenth of a second. */
static double
wait_for(pid_t child, Ending *end, int *status)
{
    enum { LOOK_SECONDS = 10 };
    const struct timespec nap = {.tv_nsec = 500000};
    Watch watch = {.group = child};
    double took = 0, looked = 0, before = seconds();
    pid_t got;
    while ((got = waitpid(child, status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        const double now = seconds();
        took += now - before < 0.1 ? now - before : 0.1;
        before = now;
        if (end->after >= 0 && took >= end->after)
            kill(-child, SIGKILL);
        if (end->path && !end->sent)
            send_signal(child, end);
        if (took - looked >= LOOK_SECONDS) {
            end->hung = watch_hangs(&watch, took - looked);
            looked = took;
            if (end->hung)
                kill(-child, SIGKILL);
        }
        nanosleep(&nap, NULL);
    }
    kill(-child, SIGKILL); /* what it started, and left running: its locks last until its end */
    while (waitpid(-child, NULL, 0) > 0 || errno == EINTR)
        continue;
    return took;
}

static CommandResult
run_until(const char *const *argv, const void *input, size_t input_len, bool refused, Ending *end)
{
    FILE *in = temp_file(input != NULL ? input : "", input_len);
    FILE *out = temp_file("", 0), *err = temp_file("", 0);
    CommandResult result = {0};
    int status = 0;
    result.seconds = wait_for(spawn(argv, refused, in, out, err), end, &status);
    result.hung = end->hung;
    result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    fclose(in);
    result.out = take_file(out, &result.out_len);
    result.err = take_file(err, &result.err_len);
    return result;
}

CommandResult
command_run(const char *const *argv, const void *input, size_t input_len)
{
    return run_until(argv, input, input_len, false, &(Ending){.after = -1});
}

CommandResult
command_refused(const char *const *argv, const void *input, size_t input_len)
{
    return run_until(argv, input, input_len, true, &(Ending){.after = -1});
}

bool
command_killed(const char *const *argv, double share, double *whole)
{
    CommandResult r = run_until(argv, NULL, 0, false, &(Ending){.after = share * *whole});
    const bool killed = r.status == 128 + SIGKILL;
    if (!killed)
        *whole = r.seconds;
    command_free(&r);
    return killed;
}

CommandResult
command_signalled(const char *const *argv, int signal, const char *path, int lines)
{
    return run_until(argv, NULL, 0, false,
                     &(Ending){.after = -1, .path = path, .lines = lines, .signal = signal});
}

void
command_free(CommandResult *result)
{
    free(result->out);
    free(result->err);
}

int
kills(int few)
{
    const char *text = getenv("SSMC_TEST_KILLS");
    const int n = text != NULL ? atoi(text) : 0;
    return n > 0 ? n : thorough() ? few : (few + 3) / 4;
}

int
temporaries(const char *dir)
{
    int count = 0;
    DIR *entries = opendir(dir);
    for (const struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;) {
        const size_t len = strlen(e->d_name);
        count += len > 4 && strcmp(e->d_name + len - 4, ".tmp") == 0;
    }
    if (entries != NULL)
        closedir(entries);
    return count;
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

static void
remove_below(const char *dir)
{
    DIR *entries = opendir(dir);
    for (const struct dirent *e; entries != NULL && (e = readdir(entries)) != NULL;) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = path_join(dir, e->d_name);
        if (unlink(path) != 0)
            remove_below(path);
        free(path);
    }
    if (entries != NULL)
        closedir(entries);
    rmdir(dir);
}

void
temp_dir_remove(char *dir)
{
    remove_below(dir);
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
