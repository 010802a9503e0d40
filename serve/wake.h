/* serve/wake.h -- private to serve/: connections that have something new to send go on, many at a
 * time. To wake one is a call of the system and a switch of threads, more than a step's share of a
 * small model's id; so a thread of its own does it, once a step. */
#ifndef SSMC_SERVE_WAKE_H
#define SSMC_SERVE_WAKE_H

typedef struct Exchange Exchange;
typedef struct Wakes Wakes;
Wakes *wakes_open(void); /* NULL: no thread can be started (errno) */
/* Under the exchange's lock: its connection sleeps, and is to be woken at the next flush. It has no
 * other part in the exchange until then, nor has the exchange an end. */
void wakes_add(Wakes *wakes, Exchange *ex);
/* Those that were added are woken, soon. */
void wakes_flush(Wakes *wakes);
void wakes_stop(Wakes *wakes); /* wakes the rest, and from now on each as it is added; once or more */
void wakes_free(Wakes *wakes); /* once nobody calls any more; NULL: nothing */

#endif
