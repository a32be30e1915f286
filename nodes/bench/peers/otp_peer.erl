%% Erlang/OTP at the same work: gen_server under supervisor. `beam.py` compiles and runs it.
%% Arguments: the fields of Sizes, in their order. Prints one JSON object. Elapsed time, on one scheduler: the
%% virtual machine's clock of processor time is too coarse (1 ms).
-module(otp_peer).
-behaviour(supervisor).
-export([main/0, start_named/1, start_nameless/0]).
-export([init/1, handle_call/3, handle_cast/2]).

-define(INTENSITY, 1000000000).
-define(DEADLINE_MS, 5000).
-define(CALLERS, 100).

main() ->
    logger:set_primary_config(level, none),
    [Asks, Tells, Children, Restarts, Storm, Crowd, Turns] = [list_to_integer(A) || A <- init:get_plain_arguments()],
    Memory = memory(Crowd), % first, in a fresh process
    {ok, Echo} = start_nameless(),
    unlink(Echo),
    {P50, P99} = restart(Restarts),
    {Spawn, Stop} = spawn_and_stop(Children, Turns),
    Figures = [
        {memory, Memory},
        {ask, best(Turns, fun() -> ask(Echo, Asks, infinity) end) / Asks},
        {ask_in_time, best(Turns, fun() -> ask(Echo, Asks, ?DEADLINE_MS) end) / Asks},
        {ask_by_many, best(Turns, fun() -> ask_by_many(Echo, Asks) end) / (Asks div ?CALLERS * ?CALLERS)},
        {tell, best(Turns, fun() -> tell(Echo, Tells) end) / Tells},
        {spawn, Spawn},
        {stop, Stop},
        {restart_p50, P50},
        {restart_p99, P99},
        {storm, storm(Storm, Turns) / Storm}
    ],
    Fields = [io_lib:format("\"~s\": ~.3f", [Name, Figure * 1.0]) || {Name, Figure} <- Figures],
    io:format("{\"Erlang\": {~s}}~n", [lists:join(", ", Fields)]),
    halt(0).

%% The works.

ask(Echo, N, Deadline) ->
    repeat(N, fun() -> gen_server:call(Echo, 1, Deadline) end).

ask_by_many(Echo, N) ->
    Caller = fun() -> ask(Echo, N div ?CALLERS, ?DEADLINE_MS) end,
    Callers = [spawn_monitor(Caller) || _ <- lists:seq(1, ?CALLERS)],
    [receive {'DOWN', Monitor, process, _, normal} -> ok end || {_, Monitor} <- Callers].

tell(Echo, N) ->
    repeat(N, fun() -> gen_server:cast(Echo, 1) end),
    gen_server:call(Echo, 1, infinity).

memory(N) ->
    Parent = nameless(),
    Before = resident(),
    start(Parent, N),
    garbage_collect(Parent),
    Kept = resident() - Before,
    stop(Parent),
    Kept / N.

spawn_and_stop(N, Turns) ->
    Took = [spawn_and_stop(N) || _ <- lists:seq(1, Turns)],
    {lists:min([Spawn || {Spawn, _} <- Took]) / N, lists:min([Stop || {_, Stop} <- Took]) / N}.

spawn_and_stop(N) ->
    Parent = nameless(),
    {took(fun() -> start(Parent, N) end), took(fun() -> stop(Parent) end)}.

restart(N) ->
    Parent = named([child]),
    Took = lists:sort([took(fun() -> crash(child) end) || _ <- lists:seq(1, N)]),
    stop(Parent),
    {lists:nth(N div 2 + 1, Took), lists:nth(N * 99 div 100 + 1, Took)}.

storm(N, Turns) ->
    Names = [list_to_atom(integer_to_list(I)) || I <- lists:seq(1, N)],
    lists:min([storm_of(Names) || _ <- lists:seq(1, Turns)]).

storm_of(Names) ->
    Parent = named(Names),
    Took = took(fun() ->
        Crashing = [crashing(Name) || Name <- Names],
        [receive {'DOWN', Monitor, process, _, _} -> ok end || Monitor <- Crashing],
        [ask_when_back(Name) || Name <- Names]
    end),
    stop(Parent),
    Took.

%% Crash it, see it go down, ask its replacement.
crash(Name) ->
    Monitor = crashing(Name),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    ask_when_back(Name).

crashing(Name) ->
    Monitor = monitor(process, Name),
    gen_server:cast(Name, boom),
    Monitor.

ask_when_back(Name) ->
    try gen_server:call(Name, 1, infinity)
    catch exit:{noproc, _} -> erlang:yield(), ask_when_back(Name)
    end.

%% The trees.

nameless() ->
    parent(#{strategy => simple_one_for_one}, [#{id => child, start => {?MODULE, start_nameless, []}}]).

named(Names) ->
    parent(#{strategy => one_for_one}, [#{id => Name, start => {?MODULE, start_named, [Name]}} || Name <- Names]).

parent(Flags, Specs) ->
    {ok, Parent} = supervisor:start_link(?MODULE, {supervisor, Flags#{intensity => ?INTENSITY, period => 1}, Specs}),
    unlink(Parent),
    Parent.

start(Parent, N) ->
    repeat(N, fun() -> {ok, _} = supervisor:start_child(Parent, []) end).

stop(Parent) ->
    Monitor = monitor(process, Parent),
    exit(Parent, shutdown),
    receive {'DOWN', Monitor, process, _, _} -> ok end.

start_named(Name) -> gen_server:start_link({local, Name}, ?MODULE, echo, []).
start_nameless() -> gen_server:start_link(?MODULE, echo, []).

%% One module is both callbacks.

init({supervisor, Flags, Specs}) -> {ok, {Flags, Specs}};
init(echo) -> {ok, none}.

handle_call(N, _From, State) -> {reply, N + 1, State}.

handle_cast(boom, _State) -> exit(boom);
handle_cast(_N, State) -> {noreply, State}.

%% Plumbing.

best(Turns, Work) -> lists:min([took(Work) || _ <- lists:seq(1, Turns)]).

%% Microseconds.
took(Work) ->
    Began = erlang:monotonic_time(nanosecond),
    Work(),
    (erlang:monotonic_time(nanosecond) - Began) / 1000.

repeat(0, _) -> ok;
repeat(N, Work) -> Work(), repeat(N - 1, Work).

resident() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(Statm, " "),
    binary_to_integer(Pages) * 4096.
