/* explore/order.c -- which values of an axis say most: both ends and the middle first, then
 * the middles of what lies between. */
#include "explore/explore.h"

int
explore_level(int i, int n)
{
    int low = 0, high = n - 1, level = 0;
    while (i != low && i != high) {
        const int middle = (low + high) / 2;
        if (i == middle)
            return level;
        if (i < middle)
            high = middle;
        else
            low = middle;
        level++;
    }
    return level;
}
