-- What sees.wat does, in Lua: see there.
return {
  pre = function(request, session)
    local seen = {
      method = request.method, scheme = request.scheme, host = request.host, path = request.path,
      query = "a=" .. request.query.a, client = request.client_address, user = request.headers["x-user"],
      cookie = request.cookies.c, pool = session.pool, rule = session.rule,
      config = '{"tier":"' .. session.config.tier .. '"}',
    }
    for name, value in seen do
      session.add_response_header("x-" .. name, value)
    end
  end,
  balance = function(_, session)
    local kept = {}
    for _, server in session.servers do
      local labels = 0
      for _ in server.labels do labels += 1 end
      if server.weight == 3 and server.score == 9 and server.in_flight == 1 and labels == 1 then
        table.insert(kept, server)
      end
    end
    return kept
  end,
  post = function(_, session)
    if session.server then
      session.add_response_header("x-server", session.server.name)
      session.add_response_header("x-address", session.server.address)
    end
  end,
}
