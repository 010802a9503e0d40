/* tests/unit/test_harness.c -- what a command of a test started has ended when the command has. */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

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
