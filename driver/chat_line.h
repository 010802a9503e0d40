/* driver/chat_line.h -- private to driver/: lines that a user types, or that standard input has. */
#ifndef SSMC_DRIVER_CHAT_LINE_H
#define SSMC_DRIVER_CHAT_LINE_H

#include <stdbool.h>

typedef struct ChatLine ChatLine;
/* On a terminal with editing and history. */
ChatLine *chat_line_open(bool terminal);
void chat_line_close(ChatLine *line);
/* The next message, without its line's end (owns, until the next call); a line that ends with \
 * goes on with the next one. NULL: there are no more. "": Ctrl-C took it back. */
const char *chat_line_next(ChatLine *line);

/* Ctrl-C from now on; it sets what chat_interrupted tells, once. */
void chat_catch_interrupts(void);
bool chat_interrupted(void);

#endif
