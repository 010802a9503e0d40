/* tests/unit/test_harness.c -- what ends tests that hang sees those that do not. */
#include <criterion/criterion.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/harness.h"

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
    cr_assert_eq(waitpid(child, &status, WUNTRACED), child);
    watch_hangs(&watch, IDLE_SECONDS); /* what it has used before */
    cr_expect(watch_hangs(&watch, IDLE_SECONDS), "stopped");
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}
