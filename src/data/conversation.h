/// Messages as files write them: OpenAI's {role, content}, ShareGPT's {from, value}, HH-RLHF's
/// transcripts.
#pragma once

#include <string>
#include <string_view>

#include "guerdon/data/example.h"

namespace guerdon::data {

/// `value`, which stands in the column `name`, as a text: a string, a message, or a list of
/// messages. Throws Error (Kind::input) with `where`.
Text read_text(const Json& value, const std::string& name, const std::string& where);
/// The same, and it must be a list of messages.
Conversation read_conversation(const Json& value, const std::string& name,
                               const std::string& where);

/// Whether a text begins as a transcript does.
bool is_transcript(std::string_view text);
/// The turns of a transcript, their text stripped of outer white space.
Conversation read_transcript(std::string_view text);

/// A text as a conversation of one message of that role; a conversation stays what it is.
Conversation as_turn(const Text& text, const std::string& role);

/// Whether what follows the message is an answer: it is the user's or a tool's.
bool ends_a_prompt(const Message& message);

/// Same role, content and extras.
bool same_message(const Message& a, const Message& b);

}  // namespace guerdon::data
