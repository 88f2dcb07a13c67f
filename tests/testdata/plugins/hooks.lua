-- What hooks.wat does, in Lua: see there. The first letter of the path says what. Besides:
--
--   pre      0 answers something that is no answer · 1 an answer with a field that there is not
--   balance  2 answers something that is no list of servers
local calls = 0

local function letter(request)
  return request.path:sub(2, 2)
end

local function recurse(n)
  return 1 + recurse(n + 1)
end

local function teapot()
  return { status = 418, message = "short and stout", content_type = "text/tea", headers = { ["x-halt"] = "yes" } }
end

local function amplified()
  local headers, value = {}, ("x"):rep(60000)
  for number = 1, 65536 do
    headers["x-" .. number] = value
  end
  return { headers = headers }
end

local pre = {
  s = function() while true do end end,
  r = function() recurse(0) end,
  t = function() error("told to") end,
  m = function() local kept = {} while true do kept[#kept + 1] = { kept } end end,
  b = function() return { message = ("x"):rep(2 * 1024 * 1024) } end,
  a = amplified,
  n = function() return { status = 700 } end,
  i = function(session) session.add_response_header("x-calls", "yes\r\nset-cookie: a=b") end,
  f = function(session) session.add_response_header("transfer-encoding", "yes") end,
  c = function(session) while true do session.add_response_header("x-calls", "short and stout") end end,
  h = teapot,
  g = function() return {} end,
  l = function(session, param) session.add_response_header("x-trail", '"' .. param .. '"') end,
  ["0"] = function() return "go on" end,
  ["1"] = function() return { state = 403 } end,
}

local balance = {
  o = function() return { { name = "web-1" } } end,
  d = function(servers) return { servers[1], servers[1] } end,
  e = function() return {} end,
  k = function(servers) return servers[#servers] end,
  ["2"] = function() return 1 end,
}

local post = {
  p = function() error("told to") end,
  q = teapot,
  l = pre.l,
  y = function(session)
    if not session.server then return teapot() end
    session.add_response_header("x-server", session.server.name)
  end,
}

return {
  pre = function(request, session, param)
    calls += 1
    session.add_response_header("x-calls", tostring(calls % 10))
    local act = pre[letter(request)]
    if act then return act(session, param) end
  end,
  balance = function(request, session)
    local act = balance[letter(request)]
    if act then return act(session.servers) end
  end,
  post = function(request, session, param)
    local act = post[letter(request)]
    if act then return act(session, param) end
  end,
  done = function(request, session)
    if letter(request) == "u" then error("told to") end
    if letter(request) == "v" then log("done " .. session.status % 10) end
    if letter(request) == "j" then
      assert(session.status == 200 and session.bytes == 5 and session.duration > 0, "told something else")
    end
  end,
}
