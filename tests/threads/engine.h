/* tests/threads/engine.h -- an engine under threads. */
#ifndef SSMC_TESTS_THREADS_ENGINE_H
#define SSMC_TESTS_THREADS_ENGINE_H

void threads_engine(const char *model); /* dies of what is not as it must be */

#endif
