// Answers 403 to requests without the header that the parameter names, and marks the answers to the others.

#include <stdlib.h>
#include <string.h>

#include "gate.h"

// The value of "header" in a parameter such as {"header": "x-key"}; traps if there is none, so that nobody passes.
static gate_string_t wanted(const gate_string_t *param) {
  static const char key[] = "\"header\"";
  const uint8_t *at = param->ptr, *end = param->ptr + param->len;
  while (at + sizeof key < end && memcmp(at, key, sizeof key - 1) != 0) at++;
  const uint8_t *colon = memchr(at, ':', end - at);
  const uint8_t *open = colon ? memchr(colon, '"', end - colon) : NULL;
  const uint8_t *close = open ? memchr(open + 1, '"', end - open - 1) : NULL;
  if (!close) __builtin_trap();
  return (gate_string_t){(uint8_t *)open + 1, close - open - 1};
}

bool exports_weir_plugin_pre_run(exports_weir_plugin_pre_borrow_request_t request,
                                 exports_weir_plugin_pre_borrow_session_t session,
                                 exports_weir_plugin_pre_halt_t *halt) {
  gate_string_t param, value;
  weir_plugin_types_method_session_param(session, &param);
  gate_string_t header = wanted(&param);
  bool passes = weir_plugin_types_method_request_header(request, &header, &value);
  if (passes) {
    gate_string_free(&value);
  } else {
    static const char text[] = " is missing\n";
    *halt = (exports_weir_plugin_pre_halt_t){.status = {true, 403}};
    halt->message.is_some = true;
    halt->message.val.len = header.len + sizeof text - 1;
    halt->message.val.ptr = malloc(halt->message.val.len);
    memcpy(halt->message.val.ptr, header.ptr, header.len);
    memcpy(halt->message.val.ptr + header.len, text, sizeof text - 1);
  }
  gate_string_free(&param);
  weir_plugin_types_request_drop_borrow(request);
  weir_plugin_types_session_drop_borrow(session);
  return !passes;
}

bool exports_weir_plugin_post_run(exports_weir_plugin_post_borrow_request_t request,
                                  exports_weir_plugin_post_borrow_session_t session,
                                  exports_weir_plugin_post_halt_t *halt) {
  gate_string_t name, value;
  gate_string_set(&name, "x-gate");
  gate_string_set(&value, "c");
  weir_plugin_types_method_session_add_response_header(session, &name, &value);
  weir_plugin_types_request_drop_borrow(request);
  weir_plugin_types_session_drop_borrow(session);
  return false;
}
