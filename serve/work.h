/* serve/work.h -- private to serve/: threads that do what takes long, so that the connections'
 * threads do not: a text of megabytes is made ids of for seconds. */
#ifndef SSMC_SERVE_WORK_H
#define SSMC_SERVE_WORK_H

#include <stdbool.h>

typedef struct Exchange Exchange;
typedef struct Work Work;
Work *work_open(void); /* NULL: no thread can be started (errno) */
/* Calls job(ex) there; the exchange's connection, if it still has one, sleeps meanwhile. False: it
 * was stopped. */
bool work_give(Work *work, Exchange *ex, void (*job)(Exchange *ex));
void work_stop(Work *work); /* does what it was given, and takes no more */
void work_free(Work *work); /* once nobody gives it any more; NULL: nothing */

#endif
