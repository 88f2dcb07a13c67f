// Answers 403 to requests without the header that the parameter names, and marks the answers to the others.

export const pre = {
  run(request, session) {
    const { header } = JSON.parse(session.param());
    if (request.header(header) === undefined) {
      return { status: 403, message: `${header} is missing\n`, headers: [] };
    }
  },
};

export const post = {
  run(_request, session) {
    session.addResponseHeader("x-gate", "javascript");
  },
};
