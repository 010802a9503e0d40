/* tests/hang.c -- ends tests that hang. No test has a time limit: how long one takes says how busy
 * the machine is. A limit of CPU time holds for every process of the run; a thread of the program
 * that runs the tests looks whether all of them sleep. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/harness.h"

/* Kills the processes of tests; Criterion reports each as one that crashed. */
static void
kill_children(void)
{
    char path[64];
    int child = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *children = fopen(path, "r");
    while (children && fscanf(children, "%d", &child) == 1)
        kill(child, SIGKILL);
    if (children)
        fclose(children);
}

static void *
watch_tests(void *user)
{
    enum { LOOK_SECONDS = 20 };
    Watch watch = {.session = getsid(0)};
    (void)user;
    for (;;) {
        sleep(LOOK_SECONDS);
        /* What harness.c waits for is ended there, sooner. */
        if (!watch_hangs(&watch, LOOK_SECONDS / 2.0))
            continue;
        fprintf(stderr, "no test has used any CPU for %d seconds: those that run are killed\n",
                2 * IDLE_SECONDS);
        kill_children();
        watch.idle = 0;
    }
    return NULL;
}

void
end_what_hangs(void)
{
    struct rlimit limit;
    pthread_t thread;
    if (getrlimit(RLIMIT_CPU, &limit) == 0 && limit.rlim_cur > CPU_SECONDS) {
        limit.rlim_cur = CPU_SECONDS;
        setrlimit(RLIMIT_CPU, &limit);
    }
    if (pthread_create(&thread, NULL, watch_tests, NULL) == 0)
        pthread_detach(thread);
}
