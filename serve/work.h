/* serve/work.h -- private to serve/: threads that read long requests, so that the connections'
 * threads do not: a text of megabytes is made ids of for seconds. */
#ifndef SSMC_SERVE_WORK_H
#define SSMC_SERVE_WORK_H

#include <stdbool.h>

typedef struct Exchange Exchange;
typedef struct Work Work;
Work *work_open(void); /* NULL: no thread can be started (errno) */
/* The exchange's route answers it there; its connection sleeps meanwhile. */
void work_give(Work *work, Exchange *ex);
bool work_has(Exchange *ex); /* it is not done yet */
void work_close(Work *work); /* after what it was given */

#endif
