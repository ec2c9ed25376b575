//! Owns the answering half of request and reply: a link to each queue that answers are wanted on, and the answers that wait for it.

use std::collections::{HashMap, VecDeque};

use amqp::message::{self, Body, Header, Properties, Sections};
use amqp::{Attach, Connection, Delivery, LinkId, Role, SenderSettleMode, SessionId, Source, Target};
use bytes::Bytes;

/// Links for answers that one consumer keeps: as many requesters can ask it.
const LINKS_MAX: usize = 10_000;

/// An answer and where it goes.
#[derive(Debug)]
struct Answer {
    address: String,
    content: Bytes,
}

/// One queue that answers go to.
#[derive(Debug)]
struct ReplyLink {
    link: LinkId,
    waiting: VecDeque<Bytes>,
}

/// The answers of one consumer.
#[derive(Debug, Default)]
pub(crate) struct Responder {
    /// One for each message that was taken and not acknowledged, in the order of arrival; `None` for one that asks nothing.
    unfinished: VecDeque<Option<Answer>>,
    ready: VecDeque<Answer>,
    links: HashMap<String, ReplyLink>,
    next_tag: u32,
}

impl Responder {
    /// A message has come; its answer holds its payload, and is sent when the message is acknowledged.
    pub(crate) fn note(&mut self, payload: &[u8], sections: Option<&Sections>) {
        self.unfinished.push_back(sections.and_then(|sections| {
            let asked = sections.properties(payload).ok()?;
            let properties = Properties { correlation_id: asked.message_id, ..Properties::default() };
            let content = message::encode(Header::default(), &properties, &[], Body::Data(sections.data(payload)?));
            Some(Answer { address: asked.reply_to?, content })
        }));
    }

    /// The oldest message that was taken is acknowledged.
    pub(crate) fn finish(&mut self) {
        self.ready.extend(self.unfinished.pop_front().flatten());
    }

    /// Answers that have not left.
    pub(crate) fn waiting(&self) -> usize {
        self.ready.len() + self.links.values().map(|link| link.waiting.len()).sum::<usize>()
    }

    /// Sends what can be sent.
    pub(crate) fn send(&mut self, connection: &mut Connection, session: SessionId) {
        for Answer { address, content } in self.ready.drain(..) {
            if self.links.len() >= LINKS_MAX && !self.links.contains_key(&address) {
                // Its requester sees that no answer comes.
                continue;
            }
            let link = self.links.entry(address).or_insert_with_key(|address| ReplyLink {
                link: connection.attach(session, attach(address)),
                waiting: VecDeque::new(),
            });
            link.waiting.push_back(content);
        }
        for link in self.links.values_mut() {
            while let Some(content) = link.waiting.front().filter(|_| connection.link_credit(link.link) > 0) {
                let tag = self.next_tag.to_be_bytes();
                let delivery =
                    Delivery { token: 0, tag: &tag, settled: true, format: 0, state: None, head: &[], body: content };
                if connection.send(link.link, delivery).is_err() {
                    break;
                }
                self.next_tag = self.next_tag.wrapping_add(1);
                link.waiting.pop_front();
            }
        }
    }

    /// A queue for answers is gone, mostly with its requester. True if it was one of ours.
    pub(crate) fn detached(&mut self, link: LinkId) -> bool {
        let before = self.links.len();
        self.links.retain(|_, reply| reply.link != link);
        self.links.len() < before
    }

    /// The connection is gone, and its links with it.
    pub(crate) fn end(&mut self) {
        self.unfinished.clear();
        self.ready.clear();
        self.links.clear();
    }
}

fn attach(address: &str) -> Attach {
    Attach {
        name: format!("answers-{address}"),
        role: Role::Sender,
        snd_settle_mode: SenderSettleMode::Settled,
        source: Some(Source::default()),
        target: Some(Target::at(address)),
        ..Attach::default()
    }
}

#[cfg(test)]
mod tests {
    use amqp::Value;

    use super::*;

    #[test]
    fn answers_leave_in_the_order_of_acknowledgement_and_name_their_request() {
        let request = |id: &str, reply_to: Option<&str>| {
            let properties = Properties {
                message_id: Some(Value::from(id)),
                reply_to: reply_to.map(str::to_owned),
                ..Properties::default()
            };
            message::encode(Header::default(), &properties, &[], Body::Data(id.as_bytes()))
        };
        let mut responder = Responder::default();
        for payload in [request("a", Some("r")), request("b", None), request("c", Some("s"))] {
            responder.note(&payload, message::scan(&payload).ok().as_ref());
        }
        assert_eq!(responder.waiting(), 0, "nothing is acknowledged yet");
        (0..3).for_each(|_| responder.finish());
        let answers: Vec<_> = responder.ready.iter().collect();
        assert_eq!(answers.iter().map(|answer| answer.address.as_str()).collect::<Vec<_>>(), ["r", "s"]);
        let sections = message::scan(&answers[1].content).expect("a message");
        assert_eq!(sections.data(&answers[1].content), Some(&b"c"[..]));
        let properties = sections.properties(&answers[1].content).expect("properties");
        assert_eq!(properties.correlation_id, Some(Value::from("c")));
    }
}
