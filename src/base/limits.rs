//! Every bound, its reason, and the relations between bounds.
//!
//! A bound's name says what it counts, its unit and that it is a bound. What happens at the bound is
//! part of its meaning. Bounds that an operator may change have their default here and their key in
//! the configuration.

use std::time::Duration;

// ---- MSRP framing -----------------------------------------------------------------------------

/// Octets of a start line or header line. SEC-06 rules 8 KiB. Beyond: the connection closes.
pub const LINE_BYTES_MAX: usize = 8 * 1024;

/// Octets of a start line and all headers. SEC-06 rules 64 KiB, 16 KiB hold every honest head
/// (a path of ten relays is 1 KiB). Beyond: the connection closes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Header lines of one message; msrplib, the strictest reader known, takes 64. Beyond: the connection closes.
pub const HEAD_LINES_MAX: usize = 64;

/// Body octets of a request that is not SEND (RFC 4975 §7.1). Beyond: 413, or silence for a REPORT.
pub const NON_SEND_BODY_BYTES_MAX: usize = 10_240;

/// A body shorter than this is passed on whole: the first part of a longer one leaves when this much
/// is there. Clients exist that cannot join parts (`sipsimple`), so what fits one read stays one.
pub const PART_BYTES_MIN: usize = 32 * 1024;

/// The one receive buffer of a shard, and so the largest part of a body handled in one step.
pub const READ_BYTES: usize = 64 * 1024;

/// Octets of an incomplete head or body that one connection may keep waiting.
pub const UNREAD_BYTES_MAX: usize = HEAD_BYTES_MAX + PART_BYTES_MIN + READ_BYTES;

/// Octets that all connections of a shard together may keep waiting; beyond, the connection that
/// wants more is closed.
pub const SHARD_UNREAD_BYTES_MAX: usize = 64 * 1024 * 1024;

// ---- sessions ---------------------------------------------------------------------------------

/// Unfinished messages of one session (SEC-05, D8). Beyond: 413 for the newest.
pub const OPEN_MESSAGES_MAX: usize = 8;

/// Octets of a message held back because earlier octets or the end of the CPIM headers are missing
/// (CHAT-CHUNK-02, CHAT-CHUNK-08). Beyond: 413.
pub const HELD_BYTES_MAX: usize = 64 * 1024;

/// Octets of a CPIM header block (CHAT-CHUNK-02 rules 16 KiB). Beyond: 413.
pub const WRAPPER_BYTES_MAX: usize = 16 * 1024;

/// Default of the largest message a room takes; also `a=max-size` in our SDP. Beyond: 413.
pub const MESSAGE_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// Without a further chunk an unfinished message is given up (RFC 7701 §6.1, CHAT-CHUNK-04).
pub const CHUNK_WAIT: Duration = Duration::from_secs(540);

/// Requests of one session whose verdict is still on its way from the room's home shard.
/// Beyond: the connection is not read until verdicts come.
pub const VERDICTS_PENDING_MAX: usize = 64;

/// Sessions of one connection: a relay or gateway carries many. Beyond: 506 for the newest.
pub const CONN_SESSIONS_MAX: usize = 4096;

/// Requests in a row that found no session, or could not be read, before a connection without a session is closed
/// (SEC-02, MSRP-CONN-06).
pub const CONN_STRAYS_MAX: u32 = 5;

/// Connections that may wait for the terms of one session: its peer has one, whoever opens more is answered 506.
pub const TERMS_WAITING_MAX: usize = 8;

/// A connection that brought no valid request within this time is closed (MSRP-CONN-06).
pub const CONN_UNPROVEN: Duration = Duration::from_secs(30);

/// A head that has begun must be whole within this time (SEC-06, D1).
pub const HEAD_WAIT: Duration = Duration::from_secs(30);

/// Octets that a connection must bring in [`HEAD_WAIT`] while something long is not whole: 500 a
/// second (D1).
pub const STEADY_BYTES: usize = 15_000;

/// A connection whose last session ended is closed after this time (MSRP-CONN-06).
pub const CONN_EMPTY: Duration = Duration::from_secs(30);

/// From the 200 to the INVITE to the binding request. Afterwards the grant is void and the dialog
/// ends with BYE (FOCUS-05; 15 s is what SylkServer and this project's first issue use).
pub const GRANT_WAIT: Duration = Duration::from_secs(15);

/// A lost MSRP connection must be negotiated anew within this time, then the dialog ends (FOCUS-05).
pub const REBIND_WAIT: Duration = Duration::from_secs(60);

/// Connecting out to a passive client, and the answer to our binding request.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// Octets of a roster that is told as text to a client that knows no rooms: a page that people read.
pub const NOTICE_BYTES_MAX: usize = 2048;

// ---- outbound queues --------------------------------------------------------------------------

/// Soft watermark of a connection's queue: above it, whole regular messages are skipped and the
/// participant is told once (RFC 7701 §6.4 says 80 %).
pub const QUEUE_BYTES_SOFT: usize = QUEUE_BYTES_HARD / 5 * 4;

/// Hard watermark of a connection's queue: no copy passes it (the rest of a started one is replaced
/// by `#`), and a connection whose answers pass it, because it asks and does not read, is closed.
pub const QUEUE_BYTES_HARD: usize = 256 * 1024;

/// A connection with octets waiting that takes none for this long is closed (O2).
pub const QUEUE_STALL: Duration = Duration::from_secs(10);

/// Shards of a server: session-ids have room for the names of so many.
pub const SHARDS_MAX: u16 = 1024;

/// Octets in all outbound queues of a shard: beyond three quarters every soft watermark is a
/// sixteenth of its size, beyond the whole no copy is queued, and a connection that asks while answers of such a
/// sixteenth wait there is closed (O3).
pub const SHARD_QUEUE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Octets waiting at a connection without a session beyond which it is closed when it asks again: it is owed a few
/// answers of some hundred octets.
pub const STRANGER_QUEUE_BYTES_MAX: usize = 8 * 1024;

/// Connections without a session may use this part of what a shard holds ([`SHARD_QUEUE_BYTES_MAX`],
/// [`SHARD_UNREAD_BYTES_MAX`]), a half: who is in a room does not suffer from those who are in none.
pub const STRANGERS_PART: usize = 2;

/// A connection that is being closed has this long to take what waits for it, however steadily it takes.
pub const CLOSING_WAIT: Duration = Duration::from_secs(10);

/// Octets of the buffers that a shard keeps for queues to come: what a room of 4,000 that is written to in batches
/// of 16 KiB needs. What is not needed is given up within seconds.
pub const POOL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Octets of such a buffer; larger ones, of queues that have grown long, are given back at once.
pub const POOL_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// How often a shard looks for buffers that nobody needed.
pub const POOL_LOOK: Duration = Duration::from_secs(1);

/// Octets of the tail (headers, body, end-line) of a copy up to which it is copied into each queue;
/// longer ones are shared by reference. Measured crossover 500 octets to 1 KiB.
pub const COPY_BYTES_MAX: usize = 1024;

/// Pieces of one vectored write; IOV_MAX is 1024, beyond 64 nothing is gained.
pub const WRITE_PIECES_MAX: usize = 64;

/// A recipient of a long message whose queue is above the soft watermark and that took nothing for
/// this long gets the rest no more: its copy ends with `#` (CHAT-CHUNK-10).
pub const COPY_STALL: Duration = Duration::from_secs(1);

/// The sender of a long message waits no longer than this at a time for recipients that have no room: some that keep taking
/// a little could hold it up for ever. Afterwards it goes on by one part, which the queues take or end with `#`.
pub const PRESSURE_WAIT: Duration = Duration::from_secs(5);

/// How often it is looked whether senders wait for somebody who is stuck: so much longer than [`COPY_STALL`] may they wait.
pub const RELIEF_PACE: Duration = Duration::from_millis(100);

/// Messages per audience whose transaction identifier is remembered, so that a refusal by a
/// recipient (413, 415) finds what it refuses; and messages of one session that are known again if it sends them again
/// after it was bound anew (MSRP-CHUNK-15).
pub const RECENT_MESSAGES_MAX: usize = 16;

/// A copy that asks for an answer counts as not delivered if none comes within this time (RFC 4975 §5.4).
pub const COPY_ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Messages of one room whose copies' answers are awaited for the sender at once. Beyond: a count is told as
/// unknown, a private message that fails later is not told of. Each costs three bits per endpoint where that is, and two at home.
pub const ROOM_FOLLOWED_MAX: usize = 256;

/// The same for all rooms of a shard together, at some 300 octets each for small rooms.
pub const SHARD_FOLLOWED_MAX: usize = 16 * 1024;

/// Messages of one session that its peer may be told more of later. Beyond: the same as in a room.
pub const SESSION_FOLLOWED_MAX: usize = 64;

/// Media types per endpoint that it refused with 415.
pub const REFUSED_TYPES_MAX: usize = 8;

/// A queue above this is filling: the sender of a long message is not read until it has drained, and nobody
/// is told there that somebody is typing.
pub const QUEUE_BYTES_FILLING: usize = QUEUE_BYTES_SOFT / 2;

// ---- rooms ------------------------------------------------------------------------------------

/// Participants of one room.
pub const ROOM_PARTICIPANTS_MAX: usize = 100_000;

/// Participants up to which everybody is shown the whole roster. A document of this many is about 60 KB, which
/// still fits into a datagram, and all of them coming at once costs each as much; above, subscribers get a
/// summary.
pub const ROSTER_WHOLE_MAX: usize = 150;

/// A room that is told as a summary is told whole again when it is smaller than [`ROSTER_WHOLE_MAX`] by this
/// part, a fifth: the whole costs as much as some hundred changes, and at the edge somebody always comes or goes.
pub const ROSTER_WHOLE_MARGIN: usize = 5;

/// Moderators that a summary lists: the first of those configured. With the subscriber's own entry at most
/// [`SUMMARY_ENTRY_BYTES_MAX`] each, a summary fits into a datagram.
pub const SUMMARY_MODERATORS_MAX: usize = 16;

/// Sidebars of one room at once, and of those opened by one participant: a document lists them all, and nobody talks in
/// more.
pub const ROOM_SIDEBARS_MAX: usize = 32;
/// See [`ROOM_SIDEBARS_MAX`].
pub const PARTICIPANT_SIDEBARS_MAX: usize = 4;

/// People asked to one sidebar, over its whole life; who is more is called instead (REFER to somebody outside).
pub const SIDEBAR_GUESTS_MAX: usize = 256;

/// Octets of an entry in a summary; a longer one is left out. Usual ones have 400 octets a device.
pub const SUMMARY_ENTRY_BYTES_MAX: usize = 2 * 1024;

/// Participants of one room whose budgets against floods are remembered, also after they have left. Beyond: the
/// half that owes least starts anew.
pub const ROOM_BUDGETS_MAX: usize = 4096;

/// Bans of one room at once, over ones taken out. Beyond: 403 to the moderator, who can ban by domain or network
/// instead. Each join goes through them.
pub const ROOM_BANS_MAX: usize = 1000;

/// Octets of a command to a room, which comes in one chunk: a few lines.
pub const COMMAND_BYTES_MAX: usize = 4096;

/// Mutes of one room at once, over ones taken out, and roles that were given while it runs. Beyond: 403 to the moderator.
/// Each message goes through the mutes.
pub const ROOM_MUTES_MAX: usize = 256;
/// See [`ROOM_MUTES_MAX`].
pub const ROOM_ROLES_MAX: usize = 4096;

/// Octets of a room's password, a line that people type.
pub const ROOM_PASSWORD_BYTES_MAX: usize = 128;

/// Octets of a room's subject: it stands in every roster.
pub const ROOM_SUBJECT_BYTES_MAX: usize = 512;

/// Octets of a moderator's reason: it stands in one SIP header.
pub const ROOM_REASON_BYTES_MAX: usize = 200;

/// The longest time that a ban, a mute or slow mode is given for; longer is without end.
pub const ROOM_TERM_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Endpoints of one participant in a room. Beyond: 486.
pub const PARTICIPANT_ENDPOINTS_MAX: usize = 16;

/// Up to so many endpoints a room lives on its home shard alone; beyond, new endpoints are placed
/// on the shard with the fewest of them.
pub const ROOM_ONE_SHARD_ENDPOINTS: usize = 256;

/// In rooms up to this size copies ask their recipients to say what is wrong (`Failure-Report: partial`), above for
/// nothing (CHAT-REP-06): what thousands find wrong at once would be a storm. Copies that somebody follows (private
/// messages, counts) ask for all answers whatever the size; for others that would double the cost of a delivery, and
/// nobody would listen.
pub const COPY_REPORT_ENDPOINTS_MAX: usize = 16;

/// Messages of one room whose last part has not come.
pub const ROOM_OPEN_MESSAGES_MAX: usize = 4096;

/// Rooms of one shard.
pub const SHARD_ROOMS_MAX: usize = 100_000;

/// Connections of one shard.
pub const SHARD_CONNS_MAX: usize = 200_000;

/// Connections that a shard cuts, of which it tells in the log each second: who knocks thousands of times a second does
/// not fill the disk. The others are told as a number with the next, one by one at debug level, and counted.
pub const CUTS_LOGGED: u64 = 10;

/// Sessions and grants of one shard.
pub const SHARD_SESSIONS_MAX: usize = 400_000;

// ---- between threads --------------------------------------------------------------------------

/// Slots of the ring of one ordered pair of shards. A full ring spills into a list of the sender.
pub const RING_SLOTS: usize = 1024;

/// Messages in such a list; beyond, all readers stop until it is shorter. With parts of at most
/// [`UNREAD_BYTES_MAX`] octets that is 448 MiB at the very worst, and 2 MiB of ordinary messages.
pub const RING_SPILL_MAX: usize = 4 * 1024;

/// Octets of a message between shards; larger things travel as `Bytes` or boxed.
pub const SHARD_MESSAGE_BYTES_MAX: usize = 128;

/// Inputs of one turn before outputs are flushed (O8).
pub const TURN_INPUTS_MAX: usize = 64;

/// Batches of such inputs before the shard's other tasks (connects, pauses) have their turn: a few milliseconds at most.
pub const BATCHES_IN_A_ROW_MAX: u32 = 32;

/// Reads of one connection before the next has its turn.
pub const CONN_READS_MAX: usize = 4;

// ---- signalling -------------------------------------------------------------------------------

/// Octets of a SIP message (D11).
pub const SIP_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Header lines of a SIP message (D11).
pub const SIP_HEADERS_MAX: usize = 128;

/// SIP connections over TCP at once; beyond, new ones are closed.
pub const SIP_CONNS_MAX: usize = 8192;

/// A SIP connection over TCP without a message for this long is closed, unless a dialog uses it.
pub const SIP_CONN_IDLE: Duration = Duration::from_secs(3600);

/// Users, and network addresses, whose budgets against floods of calls are remembered. Beyond: the half that owes
/// least starts anew.
pub const CALL_BUDGETS_MAX: usize = 64 * 1024;

/// Octets of a session description (D11).
pub const SDP_BYTES_MAX: usize = 8 * 1024;

/// Media lines of a session description (D11).
pub const SDP_MEDIA_MAX: usize = 32;

/// Dialogs of the focus.
pub const DIALOGS_MAX: usize = 400_000;

/// Server transactions at once; beyond, INVITE is answered 503 with Retry-After.
pub const SIP_TRANSACTIONS_MAX: usize = 20_000;

/// Requests outside dialogs that are known again if they come by another way: as many as transactions, since
/// that is what they belong to.
pub const MERGED_MAX: usize = SIP_TRANSACTIONS_MAX;

/// How long such a request is known again: 64*T1, in which its copies can come (RFC 3261 §8.2.2.2, §17.2.2).
pub const MERGED_WAIT: Duration = Duration::from_secs(32);

/// Between two notices of changes to one subscriber (RFC 4575 §3.9, CONF-07).
pub const NOTICE_PACE: Duration = Duration::from_secs(5);

/// The answer to somebody who shows who they are waits so long for the shard that must know it; then it is
/// given all the same, and what is said before the shard knows is refused.
pub const DISCLOSURE_WAIT: Duration = Duration::from_secs(2);

/// How often the subscribers of a room are gone through for whom it is time. Those of one turn share what is
/// written for them; a change after a quiet time is told without waiting for the next.
pub const NOTICE_TURN: Duration = Duration::from_secs(1);

/// Notices of changes to the subscribers of one room in one turn; who waits longest is first. A crowd of 20,000
/// is told within 40 s, and costs the control plane some hundredths of its time.
pub const NOTICES_TURN_MAX: usize = 500;

/// Octets of documents in one such turn, and one document: everybody in a room of [`ROSTER_WHOLE_MAX`] told of
/// everybody are 9 MB, in one of 500, if it is told whole, 100 MB. What waits is told with what comes meanwhile.
pub const NOTICES_TURN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Octets of the largest request in a datagram: 65,535 less the headers of IP and UDP. A longer one is not sent
/// if TCP does not reach the peer; subscribers get a summary instead.
pub const SIP_DATAGRAM_BYTES_MAX: usize = 65_535 - 20 - 8;

/// Parameters of a digest header; the RFCs define 13.
pub const DIGEST_PARAMS_MAX: usize = 32;

/// Nonces that were answered rightly and are remembered, so that no answer is good twice; beyond, the oldest
/// are no longer good and their users are asked anew.
pub const NONCES_MAX: usize = 100_000;

/// How long a nonce is good. Older: `stale=true`.
pub const NONCE_LIFE: Duration = Duration::from_secs(300);

/// From SIGTERM to the end of the process.
pub const SHUTDOWN_WAIT: Duration = Duration::from_secs(5);

// ---- relations --------------------------------------------------------------------------------

/// A queue must hold two of the largest parts, or a part could never be queued behind another.
const _: () = assert!(QUEUE_BYTES_SOFT >= 2 * READ_BYTES);
/// What one read brings must fit into what a connection may keep.
const _: () = assert!(UNREAD_BYTES_MAX >= READ_BYTES);
/// A whole head must fit into what waits for the end of the wrapper.
const _: () = assert!(HELD_BYTES_MAX >= WRAPPER_BYTES_MAX && HELD_BYTES_MAX >= PART_BYTES_MIN);
/// A summary must fit into a datagram, with 16 KiB left for headers and what it says of the room.
const _: () =
    assert!((SUMMARY_MODERATORS_MAX + 1) * SUMMARY_ENTRY_BYTES_MAX + 16 * 1024 <= SIP_DATAGRAM_BYTES_MAX);
/// A shard must be able to hold more than one queue at its hard watermark.
const _: () = assert!(SHARD_QUEUE_BYTES_MAX >= 64 * QUEUE_BYTES_HARD);
