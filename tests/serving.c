/* tests/serving.c -- see serving.h. */
#include "tests/serving.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ir/util.h"
#include "tests/harness.h"

static _Noreturn void
become_server(const char *const *args, const char *log, rlim_t file_bytes)
{
    enum { MOST = 64 };
    const char *argv[MOST] = {SSMC_BINARY, "serve"};
    int n = 2;
    for (; *args && n < MOST - 3; args++)
        argv[n++] = *args;
    argv[n++] = "--port";
    argv[n++] = "0";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const struct rlimit limit = {file_bytes, file_bytes};
    const int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), null = open("/dev/null", O_RDWR);
    if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(fd, 2) < 0)
        _exit(127);
    if (file_bytes != RLIM_INFINITY &&
        (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || setrlimit(RLIMIT_FSIZE, &limit) != 0))
        _exit(127);
    execv(argv[0], (char *const *)argv); /* execv does not write to them */
    _exit(127);
}

/* The port that the log tells; 0: it has not yet. */
static int
port_of(const char *log)
{
    static const char address[] = "127.0.0.1:";
    const char *at = strstr(log, address);
    return at && strchr(at, '\n') ? atoi(at + strlen(address)) : 0;
}

Serving
serving_start_limited(const char *const *args, rlim_t file_bytes)
{
    Serving s = {.dir = temp_dir()};
    s.log = path_join(s.dir, "log");
    signal(SIGPIPE, SIG_IGN);
    s.pid = fork();
    cr_assert(s.pid >= 0);
    if (s.pid == 0)
        become_server(args, s.log, file_bytes);
    const struct timespec pause = {.tv_nsec = 20000000};
    for (;;) {
        char *log = serving_log(&s);
        s.port = port_of(log);
        cr_assert(s.port || waitpid(s.pid, NULL, WNOHANG) == 0, "the server ended: %s", log);
        free(log);
        if (s.port)
            return s;
        nanosleep(&pause, NULL);
    }
}

Serving
serving_start(const char *const *args)
{
    return serving_start_limited(args, RLIM_INFINITY);
}

int
serving_end(Serving *s, int sent)
{
    int status = 0;
    if (sent)
        kill(s->pid, sent);
    waitpid(s->pid, &status, 0);
    temp_dir_remove(s->dir);
    free(s->log);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

char *
serving_log(const Serving *s)
{
    char *text = read_whole(s->log, NULL);
    return text ? text : calloc(1, 1);
}

int
serving_connect(const Serving *s)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

int
serving_send(int fd, const void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        const ssize_t n = send(fd, (const char *)data + at, len - at, MSG_NOSIGNAL);
        if (n <= 0)
            return 0;
        at += (size_t)n;
    }
    return 1;
}

/* Chunks put together, in place. */
static void
join_chunks(char *body)
{
    char *to = body, *from = body;
    for (;;) {
        char *data = NULL;
        const size_t len = strtoull(from, &data, 16);
        if (len == 0 || strncmp(data, "\r\n", 2) != 0 || strlen(data) < len + 4)
            break;
        memmove(to, data + 2, len);
        to += len;
        from = data + 2 + len + 2;
    }
    *to = '\0';
}

char *
serving_exchange(const Serving *s, const void *request, size_t len, int *status)
{
    const int fd = serving_connect(s);
    StrBuf reply = {0};
    char data[65536];
    *status = 0;
    if (fd >= 0)
        serving_send(fd, request, len);
    for (ssize_t n; fd >= 0 && (n = recv(fd, data, sizeof data, 0)) > 0;)
        sb_putn(&reply, data, (size_t)n);
    if (fd >= 0)
        close(fd);
    sb_puts(&reply, "");
    char *body = reply.text ? strstr(reply.text, "\r\n\r\n") : NULL;
    if (!body)
        return reply.text ? reply.text : calloc(1, 1);
    *status = atoi(reply.text + strlen("HTTP/1.1 "));
    *body = '\0';
    body += 4;
    for (char *c = reply.text; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    if (strstr(reply.text, "\r\ntransfer-encoding: chunked"))
        join_chunks(body);
    char *out = strdup(body);
    free(reply.text);
    return out;
}

char *
serving_ask(const Serving *s, const char *path, const char *body, int *status)
{
    StrBuf request = {0};
    sb_printf(&request, "%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n",
              body ? "POST" : "GET", path);
    if (body)
        sb_printf(&request, "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                  strlen(body), body);
    else
        sb_puts(&request, "\r\n");
    char *reply = serving_exchange(s, request.text, request.len, status);
    free(request.text);
    return reply;
}

/* ---- recorded exchanges ---------------------------------------------------------------------- */

/* Whether text is pattern, in which * stands for anything. */
static bool
fits(const char *pattern, const char *text)
{
    const char *star = NULL, *from = NULL;
    while (*text) {
        if (*pattern == '*') {
            star = ++pattern;
            from = text;
        } else if (*pattern == *text) {
            pattern++;
            text++;
        } else if (star) {
            pattern = star;
            text = ++from;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static void
try_exchange(const Serving *server, const char *path)
{
    static const char mark[] = "\n=====\n";
    int status = 0;
    size_t len = 0;
    char *file = read_whole(path, &len), *end = file ? strstr(file, mark) : NULL;
    cr_assert(end, "%s has no mark", path);
    char *want = strchr(end + sizeof mark - 1, '\n');
    cr_assert(want, "%s", path);
    char *got = serving_exchange(server, file, (size_t)(end - file), &status);
    cr_expect_eq(status, atoi(end + sizeof mark - 1), "%s: %d %s", path, status, got);
    cr_expect(fits(want + 1, got), "%s\nwanted: %s\ngot: %s", path, want + 1, got);
    free(got);
    free(file);
}

int
serving_replay(const Serving *server, const char *dir)
{
    DIR *open = opendir(dir);
    int count = 0;
    cr_assert(open, "%s", dir);
    for (struct dirent *entry; (entry = readdir(open));) {
        if (!strstr(entry->d_name, ".http"))
            continue;
        char *path = path_join(dir, entry->d_name);
        try_exchange(server, path);
        free(path);
        count++;
    }
    closedir(open);
    return count;
}
