/* tests/serving.h -- a server under test: `ssmc serve` in a process of its own, on a port that it
 * chooses, and raw exchanges with it. */
#ifndef SSMC_TESTS_SERVING_H
#define SSMC_TESTS_SERVING_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef struct {
    pid_t pid;
    int port;
    char *dir; /* of its log; owns */
    char *log; /* path; owns */
} Serving;

/* Runs `ssmc serve ARGS... --port 0`, args NULL-terminated, and waits until it answers. Fails the
 * test where it ends before. It ends with this process at the latest. */
Serving serving_start(const char *const *args);
/* As serving_start; no file that the server writes may have more than so many bytes. */
Serving serving_start_limited(const char *const *args, rlim_t file_bytes);
/* Sends a signal, unless it is 0, and waits; the exit status, 128 + signal where one ended it. */
int serving_end(Serving *server, int signal);
char *serving_log(const Serving *server); /* so far; owns */

/* A connection to the server; -1: it is refused. */
int serving_connect(const Serving *server);
/* All of it; 0: the connection is broken. */
int serving_send(int fd, const void *data, size_t len);
/* Sends a request with a JSON body (NULL: GET), on a connection of its own, and reads the reply to
 * its end: *status (0: there was none), and its body with chunks put together; owns. */
char *serving_ask(const Serving *server, const char *path, const char *body, int *status);
/* The same of bytes that are sent as they are. */
char *serving_exchange(const Serving *server, const void *request, size_t len, int *status);
/* Sends the request of each file *.http of a folder, and fails the test where the reply is not the
 * one below it. Returns how many there are. */
int serving_replay(const Serving *server, const char *dir);

#endif
