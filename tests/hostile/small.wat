;; The smallest guest: a projector `small_1` that is content with everything. Written by hand, so that it is compiled in no time.
(component
  (import "projectionist:config/store@0.1.0" (instance
    (export "get" (func (param "key" string) (result (option string))))))

  (core module $code
    (memory (export "memory") 1)
    (data (i32.const 16) "small_1")
    ;; The descriptor: its id, and nothing else said.
    (data (i32.const 64) "\10\00\00\00\07\00\00\00")
    (global $free (mut i32) (i32.const 1024))
    (func (export "describe") (result i32) (i32.const 64))
    (func $sum (param $at i32) (param $end i32) (result i32)
      (local $sum i32)
      (block $done
        (loop $next
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br $next)))
      (local.get $sum))
    (func (export "handle") (param $events i32) (param $count i32) (result i32)
      (if (i32.eqz (call $sum (local.get $events) (i32.add (local.get $events) (local.get $count))))
        (then (return (i32.const 512))))
      (i32.const 512))
    (func (export "realloc") (param $old i32) (param $old_size i32) (param $align i32) (param $size i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
      (global.set $free (i32.add (local.get $at) (local.get $size)))
      (block $fits
        (loop $more
          (br_if $fits (i32.le_u (global.get $free) (i32.mul (memory.size) (i32.const 65536))))
          (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
          (unreachable)))
      (local.get $at)))
  (core instance $core (instantiate $code))

  (type $kind' (enum "projector" "processor"))
  (export $kind "kind" (type $kind'))
  (type $run-mode' (variant (case "from-beginning") (case "from-now") (case "once") (case "from-position" u64)))
  (export $run-mode "run-mode" (type $run-mode'))
  (type $consistency' (enum "eventual" "strong"))
  (export $consistency "consistency" (type $consistency'))
  (type $clause' (record
    (field "types" (list string)) (field "except-types" (list string))
    (field "streams" (list string)) (field "tags" (list string))))
  (export $clause "clause" (type $clause'))
  (type $descriptor' (record
    (field "id" string) (field "kind" $kind) (field "group" (option string)) (field "filter" (list $clause))
    (field "run-mode" $run-mode) (field "partition-by" string) (field "lanes" u32) (field "consistency" $consistency)
    (field "max-chunk" u32) (field "options" (list (tuple string string)))))
  (export $descriptor "descriptor" (type $descriptor'))
  (type $payload' (variant (case "json" string) (case "bytes" (list u8))))
  (export $payload "payload" (type $payload'))
  (type $event' (record
    (field "position" u64) (field "id" string) (field "stream" string) (field "version" u64) (field "type" string)
    (field "recorded-at" s64) (field "data" $payload) (field "metadata" string) (field "causation-id" (option string))
    (field "correlation-id" (option string)) (field "tags" (list string))))
  (export $event "event" (type $event'))
  (type $verdict' (variant (case "retry" u32) (case "skip") (case "stop")))
  (export $verdict "verdict" (type $verdict'))
  (type $failure' (record
    (field "handled" u32) (field "verdict" $verdict) (field "message" string) (field "details" (list (tuple string string)))))
  (export $failure "failure" (type $failure'))

  (func $describe (result $descriptor)
    (canon lift (core func $core "describe") (memory (core memory $core "memory"))))
  (func $handle (param "events" (list $event)) (result (result (error $failure)))
    (canon lift (core func $core "handle") (memory (core memory $core "memory")) (realloc (core func $core "realloc"))))
  (instance $description (export "describe" (func $describe)))
  (instance $handler (export "handle" (func $handle)))
  (export "projectionist:guest/description@0.1.0" (instance $description))
  (export "projectionist:guest/handler@0.1.0" (instance $handler)))
