#include "text/node.h"

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"

namespace guerdon::text {

std::string Node::where() const { return path_.empty() ? file_ : file_ + ": key " + path_; }

void Node::fail(const std::string& what) const { fail_input(where(), what); }

bool Node::has(const char* name) const {
  if (!json_->is_object()) fail("must be an object");
  const auto at = json_->find(name);
  return at != json_->end() && !at->is_null();
}

Node Node::operator[](const char* name) const {
  if (!has(name)) fail(str("\"", name, "\" is missing"));
  return {*json_->find(name), file_, path_.empty() ? name : path_ + "." + name};
}

std::vector<Node> Node::elements() const {
  if (!json_->is_array()) fail("must be an array");
  std::vector<Node> all;
  all.reserve(json_->size());
  for (size_t i = 0; i < json_->size(); ++i)
    all.emplace_back((*json_)[i], file_, str(path_, "[", i, "]"));
  return all;
}

std::string Node::text() const {
  if (!json_->is_string()) fail("must be a string");
  return json_->get<std::string>();
}

int64_t Node::integer() const {
  if (!json_->is_number_integer()) fail("must be an integer");
  if (json_->is_number_unsigned() && json_->get<uint64_t>() > INT64_MAX) fail("is too large");
  return json_->get<int64_t>();
}

double Node::number() const {
  if (!json_->is_number()) fail("must be a number");
  return json_->get<double>();
}

bool Node::boolean() const {
  if (!json_->is_boolean()) fail("must be true or false");
  return json_->get<bool>();
}

char32_t Node::character() const {
  const std::string all = text();
  const size_t length = utf8_length(all);
  if (length == 0 || length != all.size()) fail(str("must be one character, got ", show(all)));
  return utf8_decode(all, length);
}

std::string Node::text_or(const char* name, const std::string& otherwise) const {
  return has(name) ? (*this)[name].text() : otherwise;
}

bool Node::boolean_or(const char* name, bool otherwise) const {
  return has(name) ? (*this)[name].boolean() : otherwise;
}

int64_t Node::integer_or(const char* name, int64_t otherwise) const {
  return has(name) ? (*this)[name].integer() : otherwise;
}

}  // namespace guerdon::text
