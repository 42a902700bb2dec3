/*
 * result_wire: RFC 2637's Result, Reason and General Error Codes in words: "not authorized".
 *
 * Pure; any thread. Texts are constant.
 */
#ifndef WIRE_RESULT_WIRE_H
#define WIRE_RESULT_WIRE_H

#include <stdint.h>

/* Of the code that pptp_wire_result finds in a message of this type, or a
 * Stop-Control-Connection-Request has as its Reason; otherwise where the RFC has no such code. */
const char *result_wire_text(uint16_t type, uint8_t result, const char *otherwise);

/* Of a General Error Code (section 2.16), likewise; 0 is "none". */
const char *result_wire_error_text(uint8_t error, const char *otherwise);

#endif
