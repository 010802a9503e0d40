/* tests/harness.h -- running the command under test, files and directories of a test, text diffs.
 * Nothing goes through a shell. Everything here aborts with a message when the machine itself fails
 * (no memory, no temporary directory). */
#ifndef SSMC_TESTS_HARNESS_H
#define SSMC_TESTS_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Whether tests try everything they can. Under sanitizers they do not: each family of models and
 * each path of the code runs there once, as faults of memory do not depend on the rest; numbers of
 * every setting and instruction set are compared in a build without, which the same command
 * tests. */
bool thorough(void);

/* What hangs is ended, however long it may take on a slow or busy machine: processes that sleep
 * for IDLE_SECONDS and use no CPU, and a process that has used CPU_SECONDS of it. */
enum { IDLE_SECONDS = 600, CPU_SECONDS = 3600 };

typedef struct {
    int status;      /* exit status; 128 + signal when a signal ended it */
    bool hung;       /* killed, as it did nothing any more */
    char *out, *err; /* owns: what it wrote, NUL-terminated */
    size_t out_len, err_len;
    double seconds; /* that it took */
} CommandResult;

/* Watches processes other than this one: of one process group, or, where group is 0, of one session
 * and of those that its children begin.
 */
typedef struct {
    pid_t group, session;
    unsigned long long cpu; /* clock ticks that they had used when they were looked at last */
    double idle;            /* seconds for which they slept and used no CPU */
} Watch;

/* Whether they hang; `passed`: seconds since they were looked at last. Where there is no /proc,
 * nothing hangs. */
bool watch_hangs(Watch *watch, double passed);
/* From now on this process, and those that it starts, are limited and watched. */
void end_what_hangs(void);

/* Runs argv[0] (a path) with argv, NULL-terminated, and input on stdin. */
CommandResult command_run(const char *const *argv, const void *input, size_t input_len);
/* As command_run, in a process that the system refuses the CPU's matrix unit: a filter of system
 * calls, as containers have them. Status REFUSE_FAILED: there can be no filter here. */
enum { REFUSE_FAILED = 125 };
CommandResult command_refused(const char *const *argv, const void *input, size_t input_len);
void command_free(CommandResult *result);
/* Runs argv and kills it and its children without warning after `share` of the seconds that it
 * takes as a whole. False: it had ended by then, and *whole is what it took. */
bool command_killed(const char *const *argv, double share, double *whole);
/* Runs argv and sends it a signal, twice at once, when `path` gets so many lines. */
CommandResult command_signalled(const char *const *argv, int signal, const char *path, int lines);

/* How many times a test kills what it tests: `few`, a quarter of it where tests are not thorough,
 * or SSMC_TEST_KILLS of the environment (tests/kill.sh). */
int kills(int few);
/* Unfinished files and folders of dir: being written, or left by a killed writer. */
int temporaries(const char *dir);

/* A new empty directory; owns. temp_dir_remove removes it and whatever is in it. */
char *temp_dir(void);
void temp_dir_remove(char *dir);

/* "dir/name"; owns. */
char *path_join(const char *dir, const char *name);
/* Whole file, NUL-terminated; NULL when it cannot be read. owns. len may be NULL. */
char *read_whole(const char *path, size_t *len);
bool write_whole(const char *path, const void *data, size_t len);

/* text with every `from` turned into `to`; owns. */
char *text_replace(const char *text, const char *from, const char *to);
/* How b differs from a by lines, `-` for a's and `+` for b's, with some lines around; "" when they
 * are equal. owns. */
char *text_diff(const char *a, const char *b);

#endif
