/* driver/chat_from.h -- private to driver/: the form of a model's conversations, as the options and
 * the model's files say it. */
#ifndef SSMC_DRIVER_CHAT_FROM_H
#define SSMC_DRIVER_CHAT_FROM_H

#include "chat/chat.h"
#include "driver/driver.h"

/* By --chat-template, --chat-format, or what lies beside the model's tokenizer; an exit status: the
 * fault has been printed. Where nothing says it, *out is NULL and *why has the words. */
int chat_from(const Options *o, Job *job, const Tokenizer *tok, ChatFormat **out, const char **why);
/* Ids of a text that chat_render made; prints the fault. A token that begins texts is there once,
 * whether the text has it or the tokenizer puts it. */
int chat_encode(const Tokenizer *tok, const char *text, size_t len, int32_t **ids, size_t *count);

#endif
