/* tests/unit/test_harness.c -- what a command of a test started has ended when the command has;
 * what ends tests that hang sees those that do not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness.h"

Test(harness, nothing_of_a_command_runs_on)
{
    for (int i = 0; i < 20; i++) {
        const char *const argv[] = {"/bin/sh", "-c", "sleep 1000 & echo $!", NULL};
        CommandResult r = command_run(argv, NULL, 0);
        const pid_t left = (pid_t)atoi(r.out);
        cr_assert_gt(left, 1);
        cr_assert(kill(left, 0) < 0 && errno == ESRCH, "process %d is still there", (int)left);
        command_free(&r);
    }
}

/* Runs until it is killed, in a session of its own, as each test does. */
static pid_t
begin_busy(void)
{
    const pid_t child = fork();
    if (child == 0) {
        setsid();
        for (volatile unsigned i = 0;; i++)
            continue;
    }
    while (getsid(child) != child)
        continue;
    return child;
}

Test(harness, a_busy_session_of_a_child_does_not_hang)
{
    Watch watch = {.session = getsid(0)};
    const pid_t child = begin_busy();
    int status = 0;
    for (int look = 0; look < 3; look++)
        cr_expect_not(watch_hangs(&watch, IDLE_SECONDS), "look %d", look);
    kill(child, SIGSTOP);
    cr_expect_eq(waitpid(child, &status, WUNTRACED), child);
    watch_hangs(&watch, IDLE_SECONDS); /* what it has used before */
    cr_expect(watch_hangs(&watch, IDLE_SECONDS), "stopped");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}
