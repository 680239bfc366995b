//! Reading a document into what a client applies to its roster.

use super::xml::{Event, Reader, XmlError};
use super::{NAMESPACE, XCON_NAMESPACE};

/// How much a document, or a part of it, tells (RFC 4575 §4.4).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum State {
    /// Everything: what is not listed is gone.
    #[default]
    Full,
    /// What changed.
    Partial,
    /// It is gone.
    Deleted,
}

/// What a document tells of a room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RosterUpdate {
    /// The room's URI.
    pub entity: String,
    /// How much the document tells.
    pub state: State,
    /// The number of the document: one that is not above the last is to be discarded (CONF-10).
    pub version: u32,
    /// The room's name, if told.
    pub display_text: Option<String>,
    /// The room's subject, if told.
    pub subject: Option<String>,
    /// The number of users, if told.
    pub user_count: Option<u32>,
    /// Nobody can join (RFC 4575 §5.5.3), if told.
    pub locked: Option<bool>,
    /// How much the list of users tells; nothing if it is absent.
    pub users_state: Option<State>,
    /// The users listed.
    pub users: Vec<UserUpdate>,
    /// What people are to be told, if anything.
    pub note: Option<String>,
    /// Addresses of sidebars that are listed by reference (RFC 4575 §5.9.1).
    pub sidebars: Vec<String>,
    /// Rooms that are listed with what they are (RFC 4575 §5.9.2).
    pub listed: Vec<ListedRoom>,
}

/// What a document tells of another room.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ListedRoom {
    /// The room's URI.
    pub entity: String,
    /// Its name, if told.
    pub display_text: Option<String>,
    /// What it is about, if told.
    pub subject: Option<String>,
    /// How many users it has, if told.
    pub user_count: Option<u32>,
}

/// What a document tells of a participant.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserUpdate {
    /// The participant's URI.
    pub entity: String,
    /// How much is told.
    pub state: State,
    /// The name to be shown, if told.
    pub display_text: Option<String>,
    /// The nickname (RFC 7701 §7), if told.
    pub nickname: Option<String>,
    /// What the participant is to the room (RFC 4575 §5.6.3), if told: the first of several roles.
    pub role: Option<String>,
    /// The endpoints listed.
    pub endpoints: Vec<EndpointUpdate>,
}

/// What a document tells of an endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointUpdate {
    /// The endpoint's URI.
    pub entity: String,
    /// How much is told.
    pub state: State,
    /// `connected`, `on-hold` and so on (RFC 4575 §5.7.4), if told.
    pub status: Option<String>,
    /// `dialed-in` and so on (RFC 4575 §5.7.5), if told.
    pub joining_method: Option<String>,
    /// A medium of type `message` is listed.
    pub message_media: bool,
    /// Its status is `recvonly` (RFC 4575 §5.8.3): nothing that it sends is passed on.
    pub hears_only: bool,
}

/// What an element is to us; everything else is skipped with all that is in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Info,
    Description,
    State,
    Users,
    User,
    Endpoint,
    Media,
    DisplayText,
    Subject,
    FreeText,
    Sidebars,
    Sidebar,
    Uri,
    Rooms,
    Listed,
    ListedDescription,
    ListedState,
    UserCount,
    Locked,
    Roles,
    Role,
    Status,
    JoiningMethod,
    Type,
    Other,
}

impl Place {
    /// The place of an element of our namespace within another.
    fn within(parent: Self, name: &str) -> Self {
        match (parent, name) {
            (Self::Info, "conference-description") => Self::Description,
            (Self::Info, "conference-state") => Self::State,
            (Self::Info, "users") => Self::Users,
            (Self::Info, "sidebars-by-ref") => Self::Sidebars,
            (Self::Sidebars, "entry") => Self::Sidebar,
            (Self::Sidebar, "uri") => Self::Uri,
            (Self::Info, "sidebars-by-val") => Self::Rooms,
            (Self::Rooms, "entry") => Self::Listed,
            (Self::Listed, "conference-description") => Self::ListedDescription,
            (Self::Listed, "conference-state") => Self::ListedState,
            (Self::Users, "user") => Self::User,
            (Self::User, "endpoint") => Self::Endpoint,
            (Self::Endpoint, "media") => Self::Media,
            (Self::Description | Self::User | Self::ListedDescription, "display-text") => Self::DisplayText,
            (Self::Description | Self::ListedDescription, "subject") => Self::Subject,
            (Self::Description, "free-text") => Self::FreeText,
            (Self::State | Self::ListedState, "user-count") => Self::UserCount,
            (Self::State, "locked") => Self::Locked,
            (Self::User, "roles") => Self::Roles,
            (Self::Roles, "entry") => Self::Role,
            (Self::Endpoint | Self::Media, "status") => Self::Status,
            (Self::Endpoint, "joining-method") => Self::JoiningMethod,
            (Self::Media, "type") => Self::Type,
            _ => Self::Other,
        }
    }

    fn is_leaf(self) -> bool {
        use Place::{
            DisplayText, FreeText, JoiningMethod, Locked, Role, Status, Subject, Type, Uri, UserCount,
        };
        matches!(
            self,
            DisplayText
                | FreeText
                | Subject
                | Uri
                | UserCount
                | Locked
                | Role
                | Status
                | JoiningMethod
                | Type
        )
    }
}

/// Reads a document.
///
/// # Errors
/// [`XmlError`] if it is out of bounds, not well-formed, or no conference-info with entity and version.
pub fn read(xml: &[u8]) -> Result<RosterUpdate, XmlError> {
    let mut reader = Reader::new(xml)?;
    let mut update = RosterUpdate::default();
    let mut places = Vec::new();
    let mut text = String::new();
    // The medium that is being read is one of messages.
    let mut of_messages = false;
    while let Some(event) = reader.next()? {
        match event {
            Event::Start { namespace, name } => {
                let ours = namespace == NAMESPACE;
                let place = match places.last() {
                    None if ours && name == "conference-info" => Place::Info,
                    None => return Err(XmlError::OtherDocument),
                    Some(parent) if ours => Place::within(*parent, name),
                    Some(_) => Place::Other,
                };
                begin(&mut update, place, &reader)?;
                of_messages &= place != Place::Media;
                places.push(place);
                text.clear();
            }
            Event::Text(piece) if places.last().is_some_and(|p| p.is_leaf()) => text.push_str(&piece),
            Event::Text(_) => (),
            Event::End => {
                let place = places.pop().unwrap_or(Place::Other);
                if let Some(parent) = places.last() {
                    of_messages |= place == Place::Type && text.trim().eq_ignore_ascii_case("message");
                    finish(&mut update, *parent, place, text.trim(), of_messages);
                }
                text.clear();
            }
        }
    }
    Ok(update)
}

/// Takes what the attributes say.
fn begin(update: &mut RosterUpdate, place: Place, reader: &Reader<'_>) -> Result<(), XmlError> {
    let own = |name| reader.attribute("", name).map(|value| value.map(String::from));
    let entity = || own("entity").map(Option::unwrap_or_default);
    let state = || {
        Ok(match own("state")?.as_deref() {
            Some("partial") => State::Partial,
            Some("deleted") => State::Deleted,
            _ => State::Full,
        })
    };
    match place {
        Place::Info => {
            update.entity = own("entity")?.ok_or(XmlError::OtherDocument)?;
            update.state = state()?;
            // The version is optional in the schema, but useless documents are none.
            let version = own("version")?.and_then(|v| v.trim().parse().ok());
            update.version = version.ok_or(XmlError::OtherDocument)?;
        }
        Place::Users => update.users_state = Some(state()?),
        Place::User => {
            let nickname = reader.attribute(XCON_NAMESPACE, "nickname")?.map(String::from);
            let user = UserUpdate { entity: entity()?, state: state()?, nickname, ..UserUpdate::default() };
            update.users.push(user);
        }
        Place::Listed => update.listed.push(ListedRoom { entity: entity()?, ..ListedRoom::default() }),
        Place::Endpoint => {
            let endpoint = EndpointUpdate { entity: entity()?, state: state()?, ..EndpointUpdate::default() };
            if let Some(user) = update.users.last_mut() {
                user.endpoints.push(endpoint);
            }
        }
        _ => (),
    }
    Ok(())
}

/// Takes the text of an element that has ended. `of_messages`: if it belongs to a medium, to one of messages.
fn finish(update: &mut RosterUpdate, parent: Place, place: Place, text: &str, of_messages: bool) {
    let user = update.users.last_mut();
    match (parent, place) {
        (Place::Description, Place::DisplayText) => update.display_text = Some(text.to_owned()),
        (Place::Description, Place::Subject) => update.subject = Some(text.to_owned()),
        (Place::Description, Place::FreeText) => update.note = Some(text.to_owned()),
        (Place::ListedDescription | Place::ListedState, _) => {
            let Some(room) = update.listed.last_mut() else { return };
            match place {
                Place::DisplayText => room.display_text = Some(text.to_owned()),
                Place::Subject => room.subject = Some(text.to_owned()),
                Place::UserCount => room.user_count = text.parse().ok(),
                _ => (),
            }
        }
        (Place::Sidebar, Place::Uri) => update.sidebars.push(text.to_owned()),
        (Place::State, Place::UserCount) => update.user_count = text.parse().ok(),
        (Place::State, Place::Locked) => update.locked = Some(matches!(text, "true" | "1")),
        (Place::Roles, Place::Role) => {
            if let Some(user) = user.filter(|user| user.role.is_none()) {
                user.role = Some(text.to_owned());
            }
        }
        (Place::User, Place::DisplayText) => {
            if let Some(user) = user {
                user.display_text = Some(text.to_owned());
            }
        }
        (Place::Endpoint | Place::Media, _) => {
            let Some(endpoint) = user.and_then(|user| user.endpoints.last_mut()) else { return };
            match (parent, place) {
                (Place::Media, Place::Status) if of_messages => {
                    endpoint.hears_only = text.eq_ignore_ascii_case("recvonly");
                }
                (Place::Endpoint, Place::Status) => endpoint.status = Some(text.to_owned()),
                (_, Place::JoiningMethod) => endpoint.joining_method = Some(text.to_owned()),
                (_, Place::Type) => endpoint.message_media |= of_messages,
                _ => (),
            }
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::conference::{ATTRIBUTES_MAX, DEPTH_MAX, DOCUMENT_BYTES_MAX, NAMESPACES_MAX};

    const ROOT: &str =
        r#"<conference-info xmlns="urn:ietf:params:xml:ns:conference-info" entity="sip:r@h" version="1""#;

    #[test]
    fn a_document_with_all_its_odds_and_ends_is_read() {
        // CONF-10
        let xml = r#"<?xml version='1.0' encoding="UTF-8"?><!-- hi -->
<c:conference-info xmlns:c="urn:ietf:params:xml:ns:conference-info" xmlns:n="urn:ietf:params:xml:ns:xcon-conference-info"
   xmlns:x="urn:x" entity='sip:r@h' state="partial" version="4294967295" >
  <x:users><c:user entity="sip:nobody@h"/></x:users>
  <c:conference-description><c:display-text> The <![CDATA[<R>]]>oom &amp; more </c:display-text><c:subject/></c:conference-description>
  <c:conference-state><c:user-count>2</c:user-count><c:locked> true</c:locked></c:conference-state>
  <c:users state="partial">
    <c:user entity="sip:a&#64;h" n:nickname="&quot;A&#x1F407;" x:nickname="no" nickname="no">
      <c:display-text>A</c:display-text><x:display-text>no</x:display-text>
      <c:roles><c:entry>moderator</c:entry><c:entry>speaker</c:entry></c:roles>
      <c:endpoint entity="sip:a@pc"><c:display-text>no</c:display-text><c:status>connected</c:status>
        <c:joining-method>dialed-in</c:joining-method>
        <c:media id="1"><c:type>message</c:type><c:status>recvonly</c:status></c:media>
        <c:media id="2"><c:type>audio</c:type><c:status>sendrecv</c:status></c:media></c:endpoint>
      <c:endpoint entity="sip:a@phone" state="deleted"></c:endpoint >
    </c:user>
    <c:user entity="sip:b@h" state="deleted"/>
  </c:users>
</c:conference-info>
<!-- end -->"#;
        let update = read(xml.as_bytes()).unwrap();
        assert_eq!((update.state, update.version, update.user_count), (State::Partial, u32::MAX, Some(2)));
        assert_eq!(update.display_text.as_deref(), Some("The <R>oom & more"));
        assert_eq!((update.subject.as_deref(), update.users_state), (Some(""), Some(State::Partial)));
        let [a, b] = &update.users[..] else { panic!("{:?}", update.users) };
        assert_eq!((a.entity.as_str(), a.nickname.as_deref()), ("sip:a@h", Some("\"A🐇")));
        assert_eq!((a.display_text.as_deref(), a.state), (Some("A"), State::Full));
        let [pc, phone] = &a.endpoints[..] else { panic!("{:?}", a.endpoints) };
        assert_eq!(
            (pc.status.as_deref(), pc.joining_method.as_deref()),
            (Some("connected"), Some("dialed-in"))
        );
        assert!(pc.message_media && pc.hears_only && !phone.message_media);
        assert_eq!((a.role.as_deref(), b.role.as_deref()), (Some("moderator"), None));
        assert_eq!(update.locked, Some(true));
        assert_eq!((phone.state, b.state, b.endpoints.len()), (State::Deleted, State::Deleted, 0));
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for (xml, error) in [
            (String::new(), XmlError::Syntax),
            ("hello".into(), XmlError::Syntax),
            ("<conference-info entity='a' version='1'/>".into(), XmlError::OtherDocument),
            (ROOT.replace("version=\"1\"", "") + "/>", XmlError::OtherDocument),
            (ROOT.replace("version=\"1\"", "version=\"-1\"") + "/>", XmlError::OtherDocument),
            (ROOT.replace("entity", "x") + "/>", XmlError::OtherDocument),
            (format!("<!DOCTYPE x [<!ENTITY a \"b\">]>{ROOT}/>"), XmlError::Forbidden),
            (format!("{ROOT}><users>&a;</users></conference-info>"), XmlError::Forbidden),
            (format!("{ROOT}>&#0;</conference-info>"), XmlError::Encoding),
            (format!("{ROOT}>&#xD800;</conference-info>"), XmlError::Encoding),
            (format!("{ROOT}>&#+65;</conference-info>"), XmlError::Syntax),
            (format!("{ROOT}>&amp</conference-info>"), XmlError::Syntax),
            (format!("{ROOT}>\u{1}</conference-info>"), XmlError::Encoding),
            (format!("{ROOT}>"), XmlError::Syntax),
            (format!("{ROOT}></users>"), XmlError::Syntax),
            (format!("{ROOT}/>{ROOT}/>"), XmlError::Syntax),
            (format!("{ROOT}/>x"), XmlError::Syntax),
            (format!("{ROOT}><![CDATA[ </conference-info>"), XmlError::Syntax),
            (format!("{ROOT}><p:x/></conference-info>"), XmlError::Syntax),
            (format!("{ROOT} entity='b'/>"), XmlError::Syntax),
            (format!("{ROOT} a=b/>"), XmlError::Syntax),
            (format!("{ROOT} a='<'/>"), XmlError::Syntax),
            (format!("{ROOT}a='1'/>"), XmlError::Syntax),
            (format!("{ROOT}><"), XmlError::Syntax),
        ] {
            assert_eq!(read(xml.as_bytes()).err(), Some(error), "{xml}");
        }
        assert_eq!(read(b"\xff"), Err(XmlError::Encoding));
    }

    #[test]
    fn a_document_has_bounds() {
        let deep = |n: usize| format!("{ROOT}>{}{}</conference-info>", "<a>".repeat(n), "</a>".repeat(n));
        assert!(read(deep(DEPTH_MAX - 1).as_bytes()).is_ok());
        assert_eq!(read(deep(DEPTH_MAX).as_bytes()), Err(XmlError::TooDeep));
        let many = |n: usize, name: &str| {
            let attributes: String = (0..n).map(|i| format!(" {name}{i}='x'")).collect();
            format!("{ROOT}><a{attributes}/></conference-info>")
        };
        assert!(read(many(ATTRIBUTES_MAX, "a").as_bytes()).is_ok());
        assert_eq!(read(many(ATTRIBUTES_MAX + 1, "a").as_bytes()), Err(XmlError::TooMany));
        assert!(read(many(NAMESPACES_MAX - 1, "xmlns:a").as_bytes()).is_ok());
        assert_eq!(read(many(NAMESPACES_MAX, "xmlns:a").as_bytes()), Err(XmlError::TooMany));
        let long = format!("{ROOT}>{}</conference-info>", " ".repeat(DOCUMENT_BYTES_MAX));
        assert_eq!(read(long.as_bytes()), Err(XmlError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(pieces in proptest::collection::vec(
            "(<users>|<user entity='a'>|<endpoint>|<display-text>|</user>|</users>|&amp;|&#x41;|<!--|-->|<\\?|[<>/='\" a&;ö]{1,3}|</conference-info>)", 0..24,
        )) {
            let xml = format!("{ROOT}>{}", pieces.concat());
            if let Ok(update) = read(xml.as_bytes()) {
                assert!(update.users.len() <= pieces.len());
            }
        }
    }
}
