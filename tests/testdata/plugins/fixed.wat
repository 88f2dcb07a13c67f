;; One hook, `post`: sets x-greeting of the response to 1, as the other plugins do that tests/bench compares. It asks the
;; host for nothing else.
(component
  (import "weir:plugin/types@0.1.0" (instance $types
    (export "request" (type $request (sub resource)))
    (export "session" (type $session (sub resource)))
    (type $field' (tuple string string))
    (export "field" (type $field (eq $field')))
    (type $halt' (record
      (field "status" (option u16)) (field "message" (option string))
      (field "content-type" (option string)) (field "headers" (list $field))))
    (export "halt" (type $halt (eq $halt')))
    (export "[method]session.set-response-header"
      (func (param "self" (borrow $session)) (param "name" string) (param "value" string)))))
  (alias export $types "request" (type $request))
  (alias export $types "session" (type $session))
  (alias export $types "halt" (type $halt))
  (core module $Memory (memory (export "memory") 1))
  (core instance $memory (instantiate $Memory))
  (core func $drop-request (canon resource.drop $request))
  (core func $drop-session (canon resource.drop $session))
  (core func $set (canon lower (func $types "[method]session.set-response-header") (memory (core memory $memory "memory"))))
  (core module $Hook
    (import "memory" "memory" (memory 1))
    (import "host" "drop-request" (func $drop-request (param i32)))
    (import "host" "drop-session" (func $drop-session (param i32)))
    (import "host" "set" (func $set (param i32 i32 i32 i32 i32)))
    (data (i32.const 64) "x-greeting1")
    (func (export "run") (param $request i32) (param $session i32) (result i32)
      (call $set (local.get $session) (i32.const 64) (i32.const 10) (i32.const 74) (i32.const 1))
      (call $drop-request (local.get $request))
      (call $drop-session (local.get $session))
      (i32.const 0)))
  (core instance $hook (instantiate $Hook
    (with "memory" (instance $memory))
    (with "host" (instance
      (export "drop-request" (func $drop-request))
      (export "drop-session" (func $drop-session))
      (export "set" (func $set))))))
  (func $run (param "request" (borrow $request)) (param "session" (borrow $session)) (result (option $halt))
    (canon lift (core func $hook "run") (memory (core memory $memory "memory"))))
  (instance $post (export "run" (func $run)))
  (export "weir:plugin/post@0.1.0" (instance $post)))
