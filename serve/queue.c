/* serve/queue.c -- who gets the next free slot: start-time fair queueing with requests of equal
 * cost. A request's tag is one more than that of its client's last request that waits, or the tag
 * of the request that was taken last where its client has none waiting; the lowest tag is next, and
 * of equal ones the request that came first. So clients take turns, whoever has sent how many. */
#include <string.h>

#include "serve/internal.h"

static bool
is_of_client(const Request *a, const Request *b)
{
    if (a->client != b->client || !a->asked.client != !b->asked.client)
        return false;
    return !a->asked.client || strcmp(a->asked.client, b->asked.client) == 0;
}

void
queue_put(Queue *queue, Request *request)
{
    request->tag = queue->tag;
    for (const Request *r = queue->first; r; r = r->next)
        if (is_of_client(r, request))
            request->tag = r->tag + 1;
    Request **at = &queue->first;
    while (*at && (*at)->tag <= request->tag)
        at = &(*at)->next;
    request->next = *at;
    *at = request;
}

void
queue_put_back(Queue *queue, Request *request)
{
    request->next = queue->first;
    queue->first = request;
}

Request *
queue_take(Queue *queue)
{
    Request *request = queue->first;
    if (!request)
        return NULL;
    queue->first = request->next;
    queue->tag = request->tag;
    request->next = NULL;
    return request;
}
