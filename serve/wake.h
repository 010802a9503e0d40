/* serve/wake.h -- private to serve/: a thread that stands between the engine and the sockets of
 * those who wait for it. A call of the system for each id of each request, to wake its connection
 * or to see whether its client is still there, takes as long as the id's share of a small model's
 * step; the thread does the first once a step for all, and is told of the second. */
#ifndef SSMC_SERVE_WAKE_H
#define SSMC_SERVE_WAKE_H

typedef struct Exchange Exchange;
typedef struct Wakes Wakes;
Wakes *wakes_open(void); /* NULL: the system gives no thread or file for it (errno) */
/* Under the exchange's lock: its connection sleeps, and is to be woken at the next flush. It has no
 * other part in the exchange until then, nor has the exchange an end. */
void wakes_add(Wakes *wakes, Exchange *ex);
/* Those that were added are woken, soon. */
void wakes_flush(Wakes *wakes);
/* Sets ex->gone when the client closes its side of ex->fd; until it is forgotten, which a file must
 * be before it is closed. */
void wakes_watch(Wakes *wakes, Exchange *ex);
void wakes_forget(Wakes *wakes, Exchange *ex); /* not watched: nothing */
void
wakes_stop(Wakes *wakes); /* wakes the rest, and from now on each as it is added; once or more */
void wakes_free(Wakes *wakes); /* after the last call of the others; NULL: does nothing */

#endif
