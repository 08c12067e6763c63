//! `GET /v1/restored` and `POST /v1/restored/resolve`: the messages that were unsent in the backup that this installation was
//! restored from, and the operator's decision on them. Knows the two documents; decides nothing.

use std::rc::Rc;

use serde::Deserialize;

use super::{
    api::{Answered, Api, Asked, json_only, no_query, written},
    board::StatusBoard,
    document,
    json::Object,
    lookup::DOCUMENT_BYTES_MAX,
    problem::{Code, Problem},
    submit::unexpected,
};
use stentor_core::{
    delivery::DoubtPolicy,
    model::{Class, Quoted, ShardId},
    shard::{Ask, Reply, RestoredStatus},
};

/// The body of a decision.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DecisionBody {
    action: String,
    /// Null is not the same as leaving the field out: an unset variable of the client must not mean all classes.
    #[serde(default, deserialize_with = "document::given")]
    class: Option<String>,
}

/// The decision, for one class or for all.
fn read(body: &[u8]) -> Result<(DoubtPolicy, Option<Class>), Problem> {
    let wanted = r#"{"action":"resend|drop|hold","class":…}"#;
    let typed: DecisionBody = document::read(wanted, body)?;
    let policy = DoubtPolicy::from_name(&typed.action).ok_or_else(|| {
        Problem::new(Code::InvalidParameter, "`action` must be `resend`, `drop` or `hold`".to_owned())
    })?;
    let named = |name: String| {
        let class = Class::ALL.into_iter().find(|class| class.name() == name);
        class.ok_or_else(|| Problem::new(Code::InvalidClass, format!("{} is not a class", Quoted(&name))))
    };
    Ok((policy, typed.class.map(named).transpose()?))
}

/// The document of `GET /v1/restored`.
pub(super) fn write(board: &StatusBoard, out: &mut Vec<u8>) {
    let shards: Vec<RestoredStatus> = board.shards().iter().filter_map(|shard| shard.restored).collect();
    let mut object = Object::begin(out);
    object.truth("restored", !shards.is_empty());
    if let Some(first) = shards.first() {
        object.time("mark", first.mark).time("at", first.at);
        object.list("classes", Class::ALL, |out, class| {
            let messages: u64 = shards.iter().map(|shard| shard.waiting[class.index()]).sum();
            let mut item = Object::begin(out);
            item.text("class", class.name()).text("unsent", first.unsent[class.index()].name());
            item.number("messages", messages);
            item.end();
        });
    }
    object.end();
}

impl Api {
    /// Tells every shard. Each makes the decision durable before it answers, so repeating the request after an error does no harm.
    pub(super) async fn release(self: &Rc<Self>, asked: Asked) -> Answered {
        no_query(&asked)?;
        json_only(&asked)?;
        let (policy, class) = read(&asked.body.within(DOCUMENT_BYTES_MAX).whole().await?)?;
        let mut messages = 0;
        for shard in (0..self.shards.shards()).map(ShardId) {
            match self.door.ask(shard, |reply| Ask::Release { reply, class, policy }).await? {
                Reply::Released(concerned) => messages += concerned,
                other => return Err(unexpected(&other)),
            }
        }
        Ok(written("application/json", |out| {
            let mut object = Object::begin(out);
            object.text("action", policy.name()).text_unless_empty("class", class.map_or("", Class::name));
            object.number("messages", messages);
            object.end();
        }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::http::ShardStatus;
    use stentor_core::model::Wall;

    #[test]
    fn a_decision_is_read_or_refused() {
        let read = |text: &str| read(text.as_bytes()).map_err(|problem| problem.code);
        assert_eq!(read(r#"{"action":"resend"}"#), Ok((DoubtPolicy::Resend, None)));
        assert_eq!(read(r#"{"action":"drop","class":"otp"}"#), Ok((DoubtPolicy::Drop, Some(Class::Otp))));
        assert_eq!(read(r#"{"action":"send"}"#), Err(Code::InvalidParameter));
        assert_eq!(read(r#"{"action":"drop","class":"vip"}"#), Err(Code::InvalidClass));
        let null = r#"{"action":"drop","class":null}"#;
        for text in ["", "[]", "{}", null, r#"{"action":"drop","all":true}"#, r#"{"action":1}"#] {
            assert_eq!(read(text), Err(Code::MalformedJson), "{text}");
        }
    }

    #[test]
    fn shards_are_added_up() {
        let shown = |board: &StatusBoard| -> Value {
            let mut out = Vec::new();
            write(board, &mut out);
            serde_json::from_slice(&out).expect("JSON")
        };
        let board = StatusBoard::new(2);
        assert_eq!(shown(&board), json!({"restored": false}));
        let unsent = [DoubtPolicy::Hold, DoubtPolicy::Drop, DoubtPolicy::Resend, DoubtPolicy::Hold];
        let restored = RestoredStatus { mark: Wall(1_000), at: Wall(2_000), unsent, waiting: [0, 1, 2, 3] };
        for shard in [0, 1] {
            board.put_shard(ShardId(shard), ShardStatus { restored: Some(restored), ..ShardStatus::default() });
        }
        let found = shown(&board);
        assert_eq!(found["mark"], "1970-01-01T00:00:01.000Z");
        assert_eq!(found["classes"][1], json!({"class": "otp", "unsent": "drop", "messages": 2}));
        assert_eq!(found["classes"][3], json!({"class": "marketing", "unsent": "hold", "messages": 6}));
    }
}
